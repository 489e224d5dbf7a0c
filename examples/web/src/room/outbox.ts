import type { ChatClient } from '@parley/client';
import { useSyncExternalStore } from 'react';
import { wordError } from '../errors.ts';
import { useSession } from '../session.ts';
import type { Message } from '../types.ts';

/** A message that was written here and is not known to be stored. */
export interface Pending {
  clientMessageId: string;
  roomId: string;
  body: string;
  replyTo: Message | null;
  createdAt: string;
  /** Why the server did not take it; null while it is on its way. */
  problem: string | null;
}

export interface Outbox {
  subscribe: (listener: () => void) => () => void;
  /** The same list until something changes. */
  pending: () => readonly Pending[];
  send: (roomId: string, body: string, replyTo: Message | null) => void;
  /** Sends again what failed, under the same `clientMessageId`: if it had been stored after all, it stays one message. */
  retry: (entry: Pending) => void;
  discard: (clientMessageId: string) => void;
}

/** Shows what is written at once. It is there until the history has it: the one is then taken for the other. */
export function createOutbox(chat: ChatClient): Outbox {
  const listeners = new Set<() => void>();
  let entries: readonly Pending[] = [];

  function set(next: readonly Pending[]): void {
    entries = next;
    for (const listener of listeners) listener();
  }
  function put(entry: Pending): void {
    set([...entries.filter(({ clientMessageId }) => clientMessageId !== entry.clientMessageId), entry]);
  }
  function sendNow(entry: Pending): void {
    const { clientMessageId, roomId, body, replyTo } = entry;
    put({ ...entry, problem: null });
    chat
      .send({ clientMessageId, chatroomId: roomId, body, ...(replyTo && { replyToId: replyTo.id }) })
      .catch((error: unknown) => {
        put({ ...entry, problem: wordError(error) });
      });
  }

  return {
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    pending: () => entries,
    send(roomId, body, replyTo) {
      sendNow({
        ...{ roomId, body, replyTo, problem: null },
        clientMessageId: crypto.randomUUID(),
        createdAt: new Date().toISOString(),
      });
    },
    retry: sendNow,
    discard(clientMessageId) {
      set(entries.filter((entry) => entry.clientMessageId !== clientMessageId));
    },
  };
}

export function usePending(): readonly Pending[] {
  const { outbox } = useSession();
  return useSyncExternalStore(outbox.subscribe, outbox.pending);
}
