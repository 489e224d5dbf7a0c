/** Address of the API: the same server, unless the page says otherwise. */
export const url = new URL('/graphql', location.href).href;

/** The access token stands in the address, as #TOKEN. An application keeps it in its session, and refreshes it. */
export const getAccessToken = () => location.hash.slice(1);
