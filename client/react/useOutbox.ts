import { useCallback, useSyncExternalStore } from 'react';
import type { Outbox, OutboxEntry } from '../index.ts';
import { useChat } from './provider.ts';

export interface OutboxResult extends Pick<Outbox, 'send' | 'retry' | 'discard'> {
  /** Messages that are not stored on the server yet, in the order of sending. */
  entries: readonly OutboxEntry[];
}

/** The outbox of the chat client: messages of a room, or of all rooms, that wait, are being sent, or were rejected. */
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
