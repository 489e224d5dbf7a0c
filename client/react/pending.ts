import type { ChatClient, OutboxEntry } from '../index.ts';
import type { MessageKey } from './documents.ts';

/**
 * Maximum time for which a stored message stays pending until its event arrives, in milliseconds. Time without a
 * connection does not count, because no event can arrive.
 */
const ARRIVAL_TIMEOUT_MS = 5_000;

/**
 * Creates the list of a room's pending messages. The outbox removes an entry when the server has stored the message,
 * but the event with the message may arrive later. Until then this list keeps the entry. Otherwise the message would
 * vanish for a moment.
 */
export function createPending(client: Pick<ChatClient, 'outbox' | 'state'>, chatroomId: string, onChange: () => void) {
  const { outbox } = client;
  let entries: readonly OutboxEntry[] = [];
  const kept = new Map<string, OutboxEntry>();
  const timers = new Set<ReturnType<typeof setTimeout>>();

  function update(stored?: OutboxEntry): void {
    if (stored?.chatroomId === chatroomId) keep(stored);
    entries = outbox.entries(chatroomId);
    onChange();
  }

  function keep(entry: OutboxEntry): void {
    kept.set(entry.clientMessageId, entry);
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (!kept.has(entry.clientMessageId)) return;
      if (client.state !== 'live') keep(entry);
      else if (kept.delete(entry.clientMessageId)) onChange();
    }, ARRIVAL_TIMEOUT_MS);
    timers.add(timer);
  }

  return {
    start(): () => void {
      const unsubscribe = outbox.subscribe(update);
      update();
      return () => {
        unsubscribe();
        for (const timer of timers) clearTimeout(timer);
        timers.clear();
        kept.clear();
        entries = [];
      };
    },
    /** Returns the pending entries whose messages are not in `messages`. */
    without(messages: readonly MessageKey[]): readonly OutboxEntry[] {
      const stored = new Set(messages.map(({ clientMessageId }) => clientMessageId));
      for (const id of kept.keys()) if (stored.has(id)) kept.delete(id);
      return [...kept.values(), ...entries].filter(({ clientMessageId }) => !stored.has(clientMessageId));
    },
  };
}
