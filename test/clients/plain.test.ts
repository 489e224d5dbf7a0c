import { createClient } from 'graphql-ws';
import { ClientError, GraphQLClient } from 'graphql-request';
import { describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { ChatError, errorOf, isChatError } from '../../client/index.ts';
import { ConversationDocument, MessageAddedDocument, SendMessageDocument } from '../generated/graphql.ts';
import type { Person } from '../support/client.ts';
import { send, world } from '../support/world.ts';
import { startTestServer } from '../support/server.ts';
import { bodies, chatOf, sendAll } from './chatOf.ts';
import { CURSOR, MESSAGE_ADDED, SEND } from './documents.ts';
import { expiring } from './expiring.ts';
import { resumeByHand } from './resumeByHand.ts';
import { startRestarting } from './restarting.ts';

/** Subscribes with the graphql-ws client, and returns the error of the subscription. */
async function failureOf(person: Person, query: string, variables: Record<string, unknown>): Promise<unknown> {
  const client = createClient({
    url: `${person.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${person.accessToken}` },
    retryAttempts: 0,
  });
  onTestFinished(() => void client.dispose());
  return new Promise((resolve) => {
    client.subscribe(
      { query, variables },
      {
        next: ({ errors }) => {
          resolve(errors);
        },
        error: resolve,
        complete: () => undefined,
      },
    );
  });
}

describe('graphql-ws', { timeout: 150_000 }, () => {
  test('resumes after a restart with the cursor in its variables', async () => {
    const server = await startRestarting();
    const { ann, ben, room } = await world(server);
    const { chatroom } = await ben.ask(CURSOR, { room });
    const received: string[] = [];
    resumeByHand(ben, MESSAGE_ADDED, { room, after: chatroom.cursor }, ({ message }) => received.push(message.body));
    const sending = sendAll(chatOf(ann), room, 40);
    await expect.poll(() => received.length).toBeGreaterThan(10);
    await server.stop();
    await server.start();
    await sending;
    await expect.poll(() => received.length).toBeGreaterThanOrEqual(40);
    expect(received).toEqual(bodies(40));
  });

  test('has a code in each error and close event', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    expect(errorOf(await failureOf(eve, MESSAGE_ADDED, { room }))?.code).toBe('NOT_FOUND');
    expect(errorOf(await failureOf(ann, MESSAGE_ADDED, { room, after: 'junk' }))).toMatchObject({
      code: 'BAD_USER_INPUT',
      path: ['after'],
    });
    const late = ann.on({ accessToken: await expiring(ann, -5) });
    expect(isChatError(await failureOf(late, MESSAGE_ADDED, { room }), 'TOKEN_EXPIRED')).toBe(true);
    const stranger = ann.on({ accessToken: 'junk' });
    expect(isChatError(await failureOf(stranger, MESSAGE_ADDED, { room }), 'UNAUTHENTICATED')).toBe(true);
  });
});

describe('graphql-request', () => {
  test('sends typed documents, and its errors have a code', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    const clientOf = ({ accessToken }: Person) =>
      new GraphQLClient(`${server.url}/graphql`, { headers: { authorization: `Bearer ${accessToken}` } });
    const input = { chatroomId: room, body: 'hello', clientMessageId: crypto.randomUUID() };
    const answer: any = await clientOf(ann).request(SEND, { input });
    expect(answer.sendMessage.message).toMatchObject({ number: 1, body: 'hello' });

    const refused = await clientOf(eve)
      .request(SEND, { input })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ClientError);
    expect(isChatError(refused, 'NOT_FOUND')).toBe(true);
    const conflict = await clientOf(ann)
      .request(SEND, { input: { ...input, body: 'other' } })
      .catch((error: unknown) => error);
    expect(isChatError(conflict, 'CONFLICT')).toBe(true);
    expect(isChatError(conflict, 'NOT_FOUND')).toBe(false);
    expect(isChatError(new TypeError('a mistake of mine'))).toBe(false);
  });
});

describe('typed documents', () => {
  test('of the client preset type variables and results', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const chat = chatOf(ann);
    await send(ann, room, 'one');
    const { chatroom } = await chat.execute(ConversationDocument, { chatroomId: room, last: 5 });
    const known: (string | null | undefined)[] | undefined = chatroom?.messages?.nodes.map(({ body }) => body);
    expect(known).toEqual(['one']);
    const { sendMessage } = await chat.execute(SendMessageDocument, { input: { chatroomId: room, body: 'two' } });
    expect(sendMessage?.message.number).toBe(2);
    // @ts-expect-error The variable `room` is required.
    await expect(chat.execute(ConversationDocument, {})).rejects.toBeInstanceOf(ChatError);
    const stream = chat.subscribe(MessageAddedDocument, { chatroomId: room, after: chatroom?.cursor });
    for await (const { messageAdded } of stream) {
      const body: string | null | undefined = messageAdded?.message.body;
      expect(body).toBe('two');
      break;
    }
  });
});
