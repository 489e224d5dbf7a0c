import { isChatError } from '@parley/client';
import { addMessage } from '@parley/client/apollo';
import { useEffect, useState } from 'react';
import {
  HistoryDocument,
  MessageSeenDocument,
  RoomEventsDocument,
  SeenDocument,
  TypingChangedDocument,
} from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { follow, load } from '../live.ts';
import { type Session, useSession } from '../session.ts';
import type { Message, Person } from '../types.ts';
import { PAGE } from './history.ts';

export interface RoomState {
  /** Whether the newest page is there. */
  loaded: boolean;
  /** Why the room cannot be shown, or no longer. */
  problem: string | null;
  typing: readonly Person[];
}

const OPENING: RoomState = { loaded: false, problem: null, typing: [] };

/** Loads a room, then follows it from the cursor that came with it: between the two nothing is lost. */
export function useRoom(roomId: string, onNew: (message: Message) => void): RoomState {
  const session = useSession();
  const [state, setState] = useState(OPENING);
  useEffect(() => {
    const { signal, abort } = createAbort();
    setState(OPENING);
    const problem = (error: unknown) => {
      if (!signal.aborted) setState((before) => ({ ...before, problem: wordProblem(error) }));
    };
    followRoom(session, roomId, signal, {
      onNew,
      onLoaded: () => setState((before) => ({ ...before, loaded: true })),
    }).catch(problem);
    followTyping(session, roomId, signal, (change) =>
      setState((before) => ({ ...before, typing: change(before.typing) })),
    ).catch(problem);
    followSeen(session, roomId, signal).catch(problem);
    // Whoever typed when the connection was lost may have stopped since.
    const stopListening = session.chat.onState((now) => {
      if (now === 'offline') setState((before) => ({ ...before, typing: [] }));
    });
    return () => {
      stopListening();
      abort();
    };
  }, [session, roomId]);
  return state;
}

function createAbort() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

function wordProblem(error: unknown): string {
  return isChatError(error, 'NOT_FOUND') ? 'This room is not there, or you are not a member of it.' : wordError(error);
}

async function followRoom(
  session: Session,
  roomId: string,
  signal: AbortSignal,
  on: { onNew: (message: Message) => void; onLoaded: () => void },
): Promise<void> {
  const newest = async () => {
    const { chatroom } = await load(session, HistoryDocument, { id: roomId, last: PAGE });
    // Without a cursor the subscription is refused, and says why.
    return chatroom?.cursor ?? '';
  };
  const after = (await newest()) || null;
  if (signal.aborted) return;
  if (after !== null) on.onLoaded();
  await follow(
    session,
    RoomEventsDocument,
    { chatroomId: roomId, after },
    {
      signal,
      onResync: newest,
      onData({ chatroomEvents: event }) {
        // What changes a message, a room or a count is in the cache already.
        if (event?.__typename !== 'MessageAdded') return;
        addMessage(session.apollo.cache, roomId, event.message);
        if (event.message.clientMessageId) session.outbox.discard(event.message.clientMessageId);
        on.onNew(event.message);
      },
    },
  );
}

async function followTyping(
  session: Session,
  roomId: string,
  signal: AbortSignal,
  set: (change: (before: readonly Person[]) => readonly Person[]) => void,
): Promise<void> {
  await follow(
    session,
    TypingChangedDocument,
    { chatroomId: roomId },
    {
      signal,
      // Who types will say so again.
      onResumed: () => set(() => []),
      onData({ typingChanged }) {
        if (!typingChanged) return;
        const { user, typing } = typingChanged;
        set((before) => [...before.filter(({ id }) => id !== user.id), ...(typing ? [user] : [])]);
      },
    },
  );
}

async function followSeen(session: Session, roomId: string, signal: AbortSignal): Promise<void> {
  await follow(
    session,
    MessageSeenDocument,
    { chatroomId: roomId },
    {
      signal,
      onData: () => undefined,
      // A hint that was missed: the truth is asked for, of the newest messages alone.
      onResumed: () => void load(session, SeenDocument, { id: roomId }).catch(() => undefined),
    },
  );
}
