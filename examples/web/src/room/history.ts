import type { ApolloClient } from '@apollo/client';
import { HistoryDocument, type HistoryQuery } from '../../generated/graphql.ts';

/** How many messages a page of the history has. */
export const PAGE = 40;

/** After so much scrolling back, being at the end again lets go of what is far above. */
const MOST_KEPT = 200;

/** The page before what is there; the cache joins them. */
export async function loadEarlier(apollo: ApolloClient, roomId: string, before: string): Promise<void> {
  await apollo.query({
    query: HistoryDocument,
    variables: { id: roomId, last: PAGE, before },
    fetchPolicy: 'network-only',
  });
}

/** Keeps the newest messages alone once there are very many. */
export function trimHistory({ cache }: ApolloClient, roomId: string): void {
  cache.updateQuery<HistoryQuery>({ query: HistoryDocument, variables: { id: roomId, last: PAGE } }, (data) => {
    const messages = data?.chatroom?.messages;
    if (!data?.chatroom || !messages || messages.edges.length <= MOST_KEPT) return undefined;
    const edges = messages.edges.slice(-PAGE);
    const pageInfo = { ...messages.pageInfo, hasPreviousPage: true, startCursor: edges[0]?.cursor ?? null };
    return { ...data, chatroom: { ...data.chatroom, messages: { ...messages, edges, pageInfo } } };
  });
}
