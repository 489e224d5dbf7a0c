import type { ApolloClient } from '@apollo/client';
import type { ChatContext } from '@parley/client/apollo';
import {
  FriendPresenceDocument,
  type MemberRowFragment,
  MembersDocument,
  ReadMarksDocument,
  SetTypingDocument,
  TypingDocument,
} from './generated/graphql.ts';

/** Interval of reports while the user types. The server regards a report as expired after 10 s. */
const TYPING_INTERVAL_MS = 5_000;

/**
 * Returns a function that reports whether the user is typing in a room. Call it with true after each input, and with
 * false when the user sends the message, deletes the text or leaves the room. Sending does not end typing by itself.
 */
export function createTypingReporter(client: ApolloClient, room: string): (typing: boolean) => void {
  let since = 0;
  return (typing) => {
    const isReported = typing ? Date.now() - since < TYPING_INTERVAL_MS : since === 0;
    if (isReported) return;
    since = typing ? Date.now() : 0;
    // Errors are ignored, because a lost report does no harm.
    client.mutate({ mutation: SetTypingDocument, variables: { room, typing } }).catch(() => undefined);
  };
}

/** Calls the listener with the names of the users who are typing in a room. Returns a function that unsubscribes. */
export function followTyping(client: ApolloClient, room: string, listener: (names: string[]) => void): () => void {
  const names = new Map<string, string>();
  const context = {
    // Events of the time without a connection are lost, so users may have stopped typing.
    onResumed() {
      names.clear();
      listener([]);
    },
  } satisfies ChatContext;
  const subscription = client.subscribe({ query: TypingDocument, variables: { room }, context }).subscribe({
    next({ data }) {
      if (!data?.typingChanged) return;
      const { typing, user } = data.typingChanged;
      if (typing) names.set(user.id, user.username);
      else names.delete(user.id);
      listener([...names.values()]);
    },
    error: console.error,
  });
  return () => {
    subscription.unsubscribe();
  };
}

/**
 * Loads up to 100 members of a room, and keeps their read marks and the presence of friends up to date. A member has
 * read a message if `lastReadNumber` is at least the message's `number`. Returns a function that unsubscribes.
 */
export function followMembers(
  client: ApolloClient,
  room: string,
  listener: (members: MemberRowFragment[]) => void,
): () => void {
  const retry = { retry: true } satisfies ChatContext;
  const query = client.watchQuery({ query: MembersDocument, variables: { room }, context: retry });
  // Read marks and presence are not replayed, so they are loaded after each start of a stream.
  const context = { onStarted: () => void query.refetch().catch(console.error) } satisfies ChatContext;
  const subscriptions = [
    query.subscribe(({ data, dataState }) => {
      if (dataState === 'complete') listener(data.chatroom?.members?.edges.map(({ node }) => node) ?? []);
    }),
    // The cache applies the events to members and users by their `id`.
    client.subscribe({ query: ReadMarksDocument, variables: { room }, context }).subscribe({ error: console.error }),
    client.subscribe({ query: FriendPresenceDocument, context }).subscribe({ error: console.error }),
  ];
  return () => {
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
}
