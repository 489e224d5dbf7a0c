/** URL of the API, on the server of the page. */
export const url = new URL('/graphql', location.href).href;

/** Returns the access token, which is the hash of the page's URL. An application stores it in its session, and refreshes it. */
export const getAccessToken = () => location.hash.slice(1);
