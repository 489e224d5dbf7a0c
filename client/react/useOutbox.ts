import { useCallback, useSyncExternalStore } from 'react';
import type { Outbox, OutboxEntry } from '../index.ts';
import { useChat } from './provider.ts';

export interface OutboxResult extends Pick<Outbox, 'send' | 'retry' | 'discard'> {
  /** Messages that the server has not stored yet, in the order of sending. */
  entries: readonly OutboxEntry[];
}

/**
 * Returns the waiting, sending and rejected messages of a room, or of all rooms. Also returns `send`, `retry` and
 * `discard`.
 */
export function useOutbox(chatroomId?: string): OutboxResult {
  const { outbox } = useChat().client;
  const subscribe = useCallback((listener: () => void) => outbox.subscribe(listener), [outbox]);
  const getEntries = () => outbox.entries(chatroomId);
  const entries = useSyncExternalStore(subscribe, getEntries, getEntries);
  return {
    entries,
    send: (input, options) => outbox.send(input, options),
    retry(clientMessageId) {
      outbox.retry(clientMessageId);
    },
    discard(clientMessageId) {
      outbox.discard(clientMessageId);
    },
  };
}
