/** URL of the API, on the server of the page. */
export const url = new URL('/graphql', location.href).href;

/**
 * Returns the access token, which is the hash of the page's URL. An application stores the token in its session
 * instead, and refreshes it.
 */
export const getAccessToken = () => location.hash.slice(1);
