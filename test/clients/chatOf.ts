import { onTestFinished } from 'vitest';
import WebSocket from 'ws';
import { type ChatClient, type ChatClientOptions, createChatClient } from '../../client/index.ts';
import type { Person } from '../support/client.ts';

/** Creates a chat client for a person. It is closed at the end of the test. */
export function chatOf(person: Person, options: Partial<ChatClientOptions> = {}): ChatClient {
  const client = createChatClient({
    url: `${person.url}/graphql`,
    getAccessToken: () => person.accessToken,
    webSocketImpl: WebSocket,
    ...options,
  });
  onTestFinished(() => {
    client.close();
  });
  return client;
}

/** Sends the numbers from `from` to `to` as messages, one after another. Retries while the server is unreachable. */
export async function sendAll(chat: ChatClient, chatroomId: string, to: number, from = 1): Promise<void> {
  for (let i = from; i <= to; i += 1) await chat.send({ chatroomId, body: String(i) });
}

/** Returns the bodies of the messages that `sendAll` sends. */
export function bodies(count: number, from = 1): string[] {
  return Array.from({ length: count }, (_, i) => String(from + i));
}
