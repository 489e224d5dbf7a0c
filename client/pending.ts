import { MAX_NUMBER } from './messageNumber.ts';
import type { Outbox, OutboxEntry } from './outbox.ts';

/** The viewer's messages of a room that the room's history does not contain yet. */
export interface PendingMessages {
  /**
   * Calls the listener after each change of the entries. Subscribe while the room is open, because stored messages are
   * kept only while there is a listener. Returns a function that removes the listener.
   */
  subscribe: (listener: () => void) => () => void;
  /** Returns the entries in the order of sending. Returns the same array until an entry changes. */
  entries: () => readonly OutboxEntry[];
  /**
   * Returns the entries whose messages are not in the history, to be shown after it. Pass the newest messages, oldest
   * first. Call this function again after each change of the history.
   */
  without: (
    history: readonly { readonly number: number; readonly clientMessageId?: string | null }[],
  ) => readonly OutboxEntry[];
}

/**
 * Creates the list of a room's pending messages. The outbox removes an entry when the server has stored the message, but
 * the event with the message may arrive later. Until the history contains the message, this list keeps the entry.
 * Otherwise the message would vanish for a moment.
 */
export function createPending(outbox: Outbox, chatroomId: string): PendingMessages {
  /** Entries of stored messages, by `clientMessageId`. */
  const kept = new Map<string, OutboxEntry>();
  let listeners = 0;
  let list: readonly OutboxEntry[] | null = null;
  let waiting: readonly OutboxEntry[] = [];

  function entries(): readonly OutboxEntry[] {
    const current = outbox.entries(chatroomId);
    if (list && current === waiting) return list;
    waiting = current;
    return (list = [...kept.values(), ...current]);
  }

  return {
    subscribe(listener) {
      listeners += 1;
      const unsubscribe = outbox.subscribe((stored) => {
        if (stored?.chatroomId === chatroomId) kept.set(stored.clientMessageId, stored);
        list = null;
        listener();
      });
      return () => {
        unsubscribe();
        if ((listeners -= 1) > 0) return;
        kept.clear();
        list = null;
      };
    },
    entries,
    without(history) {
      const shown = new Set(history.map(({ clientMessageId }) => clientMessageId));
      const last = history.findLast(({ number }) => number <= MAX_NUMBER)?.number ?? 0;
      // Events arrive in order. If a later message is in the history, no event of the stored message will follow.
      const isShown = ({ clientMessageId, message }: OutboxEntry) =>
        shown.has(clientMessageId) || (message !== undefined && message.number <= last);
      const pending = entries().filter((entry) => !isShown(entry));
      for (const entry of [...kept.values()]) if (isShown(entry)) kept.delete(entry.clientMessageId);
      return pending;
    },
  };
}
