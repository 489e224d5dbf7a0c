import { onTestFinished } from 'vitest';
import WebSocket from 'ws';
import { type ChatClient, type ChatClientOptions, createChatClient } from '../../client/index.ts';
import type { Person } from '../support/client.ts';

/** A person's chat client, until the end of the test. */
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

/** Sends `from` … `to`, `1`, `2` … as a rule, one after the other, over whatever happens to the server. */
export async function sendAll(chat: ChatClient, chatroomId: string, to: number, from = 1): Promise<void> {
  for (let i = from; i <= to; i += 1) await chat.send({ chatroomId, body: String(i) });
}

/** What `sendAll` has sent. */
export function bodies(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i + 1));
}
