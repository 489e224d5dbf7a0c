import type { ChatClient, OutboxEntry } from '@parley/client';

/**
 * Returns the messages of a room that the server has not stored yet, to be shown after the history of the room. Each
 * has a `state`, and an `error` if the server rejected it. Call this function again after each change of the history
 * and of the outbox (`chat.outbox.subscribe`).
 */
export function pendingMessages(
  chat: ChatClient,
  room: string,
  history: readonly { clientMessageId?: string | null }[],
): OutboxEntry[] {
  // The subscription can deliver a message before the response to `sendMessage` arrives.
  const shown = new Set(history.map(({ clientMessageId }) => clientMessageId));
  return chat.outbox.entries(room).filter(({ clientMessageId }) => !shown.has(clientMessageId));
}
