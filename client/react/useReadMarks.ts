import { useCallback, useSyncExternalStore } from 'react';
import type { Failure } from '../errors.ts';
import { type Documents, documentsOf, type ReadMarksData, type Selections } from './documents.ts';
import { failureOf } from './failure.ts';
import { useChat } from './provider.ts';
import type { Chat } from './room.ts';
import { createStore, type Store } from './store.ts';
import type * as Default from './types.ts';

export interface ReadMark<User> {
  user: User & { id: string };
  /** Number of the last message that the user has read; 0 for none. */
  lastReadNumber: number;
}

export interface ReadMarksState<User> {
  /** Read marks of the other members. Empty in a room of more than 100 members, for which the server sends no marks. */
  marks: readonly ReadMark<User>[];
  loading: boolean;
  /** Error that prevents the marks from being shown or updated. */
  error: Failure | null;
}

export interface ReadMarksResult<User> extends ReadMarksState<User> {
  /** Returns the other members who have read the message with this number. */
  readersOf: (number: number) => (User & { id: string })[];
}

/** Largest room for which the server sends read marks. */
const MAX_MEMBERS = 100;

/**
 * Returns the read marks of the other members of a room, kept up to date, for example to show "Read by 3 of 5". One query and
 * one stream serve all messages. Blocked members are left out. Joining and leaving members are noticed while `useRoom` is used
 * for the same room.
 */
export function useReadMarks<User = Default.User>(
  chatroomId: string,
  selections: Pick<Selections<unknown, unknown, User>, 'user'> = {},
): ReadMarksResult<User> {
  const chat = useChat();
  const documents = documentsOf<Default.Message, Default.Room, User>(selections);
  const store = chat.store(`readMarks ${chatroomId} ${documents.key}`, () =>
    createReadMarks(chat, documents, chatroomId),
  );
  const state = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  const { marks } = state;
  const readersOf = useCallback(
    (number: number) => marks.filter(({ lastReadNumber }) => lastReadNumber >= number).map(({ user }) => user),
    [marks],
  );
  return { ...state, readersOf };
}

function createReadMarks<User>(
  { cache }: Chat,
  documents: Documents<any, any, User>,
  chatroomId: string,
): Store<ReadMarksState<User>> {
  const initial: ReadMarksState<User> = { marks: [], loading: true, error: null };
  return createStore(initial, (set) => {
    /** The highest mark of each member, because the answer to a query may be older than an event that arrived before it. */
    const highest = new Map<string, number>();
    let memberCount: number | null = null;

    const fail = (error: unknown) => {
      set({ error: failureOf(error), loading: false });
    };
    const load = () => {
      cache
        .fetch(documents.readMarks, { chatroomId })
        .then(({ chatroom }) => {
          if (!chatroom) set({ loading: false });
        })
        .catch(fail);
    };
    function show({ chatroom }: ReadMarksData<User>): void {
      if (!chatroom?.members) return;
      // This stream has no events for members who join or leave, so a changed count reloads the list.
      if (memberCount !== null && memberCount !== chatroom.memberCount) load();
      ({ memberCount } = chatroom);
      const others = chatroom.members.edges
        .map(({ node }) => node)
        .filter(({ id, user }) => id !== chatroom.viewerMembership?.id && !user.viewerHasBlocked);
      const marks = others.map(({ id, user, lastReadNumber }) => {
        highest.set(id, Math.max(highest.get(id) ?? 0, lastReadNumber));
        return { user, lastReadNumber: highest.get(id) ?? 0 };
      });
      set({ marks: memberCount > MAX_MEMBERS ? [] : marks, loading: false });
    }

    const stops = [
      cache.watch(documents.readMarks, { chatroomId }, (data) => {
        if (data) show(data);
      }),
      // Read marks are hints, so changes that were missed while offline are queried.
      cache.subscribe(
        documents.readMarksChanged,
        { chatroomId },
        { onEvents: () => undefined, onResumed: load, onError: fail },
      ),
    ];
    load();
    return () => {
      for (const stop of stops) stop();
    };
  });
}
