import type { Chat } from './chat.ts';
import type { Documents } from './documents.ts';
import { mayChangeBlocks } from './viewerEvents.ts';

/** Interval of `setTyping` requests while the viewer types. The server regards a request as expired after 10 s. */
const INTERVAL_MS = 5_000;

/** Follows the users who are typing in a room, and reports whether the viewer is typing. */
export interface Typing<User> {
  /** Follows the users who are typing. Returns a function that unsubscribes. */
  follow: (onChange: (users: readonly User[]) => void, onError: (error: unknown) => void) => () => void;
  /** Reports that the viewer is typing, at most once per interval, or has stopped typing. */
  send: (typing: boolean) => void;
}

export function createTyping<User>(
  { client, cache, viewerEvents }: Chat,
  documents: Documents<any, any, User>,
  chatroomId: string,
): Typing<User & { id: string }> {
  let since = 0;

  function send(typing: boolean): void {
    since = typing ? Date.now() : 0;
    // Errors are ignored, because a lost report of typing does no harm.
    cache.mutate(documents.setTyping, { chatroomId, typing }).catch(() => undefined);
  }

  return {
    follow(onChange, onError) {
      let users: readonly (User & { id: string })[] = [];
      const show = (now: typeof users) => {
        users = now;
        onChange(users);
      };
      // Users who were typing when the room was last open may have stopped since.
      show([]);
      const stops = [
        client.onState((state) => {
          // Users who were typing when the connection was lost may have stopped since.
          if (state === 'offline') show([]);
        }),
        viewerEvents.listen((event) => {
          // The server does not report that a blocked user has stopped typing.
          if (mayChangeBlocks(event)) show([]);
        }),
        cache.subscribe(
          documents.typing,
          { chatroomId },
          {
            onStarted: () => {
              show([]);
            },
            onEvents(events) {
              for (const { typingChanged: event } of events) if (event) show(change(users, event));
            },
            onError,
          },
        ),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
    send(typing) {
      if (!typing) {
        if (since > 0) send(false);
      } else if (client.state === 'live' && Date.now() - since > INTERVAL_MS) {
        // Sent only while live, because a report that waited for a reconnect would be outdated.
        send(true);
      }
    },
  };
}

function change<User extends { id: string }>(
  users: readonly User[],
  { user, typing }: { user: User; typing: boolean },
): User[] {
  const others = users.filter(({ id }) => id !== user.id);
  return typing ? [...others, user] : others;
}
