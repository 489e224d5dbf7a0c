import type { ChatClient, OutboxEntry } from '@parley/client';

/**
 * Messages of a room that are not stored yet, to show after its history. Each has a `state` and, if the server rejected it, an
 * `error`. Call this again after each change of the history and of the outbox (`chat.outbox.subscribe`).
 */
export function pendingMessages(
  chat: ChatClient,
  room: string,
  history: readonly { clientMessageId?: string | null }[],
): OutboxEntry[] {
  // The subscription can bring a message before the answer to its sending.
  const shown = new Set(history.map(({ clientMessageId }) => clientMessageId));
  return chat.outbox.entries(room).filter(({ clientMessageId }) => !shown.has(clientMessageId));
}
