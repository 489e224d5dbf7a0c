import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { Client, gql as urqlGql } from '@urql/core';
import { createClient } from 'graphql-ws';
import { expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { cachePolicies, createChatLink } from '../../client/apollo.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import type { Person } from '../support/client.ts';
import { startIssuer } from '../support/issuer.ts';
import { startTestServer } from '../support/server.ts';
import { backend, CREATE_ROOM, CREATE_TOKEN, REVOKE_TOKENS, SEND_AS, UPSERT } from '../support/services.ts';
import { chatOf } from './chatOf.ts';
import { MESSAGE_ADDED } from './documents.ts';

// A token that a backend has made works in each client, until the backend revokes it.

/** Records what a client receives. `closed` has the code with which the server closed the socket. */
interface Received {
  bodies: string[];
  closed: number | undefined;
}

type Listen = (person: Person, room: string, received: Received) => void;

/** Returns a WebSocket that records the code of its end. */
function recording(received: Received): typeof WebSocket {
  class Recording extends WebSocket {
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols);
      this.once('close', (code) => (received.closed = code));
    }
  }
  return Recording as typeof WebSocket;
}

const listeners: Record<string, Listen> = {
  'graphql-ws'(person, room, received) {
    const client = createClient({
      url: `${person.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: recording(received),
      connectionParams: { authorization: `Bearer ${person.accessToken}` },
      retryAttempts: 0,
    });
    onTestFinished(() => void client.dispose());
    client.subscribe<{ messageAdded: { message: { body: string } } }>(
      { query: MESSAGE_ADDED, variables: { room } },
      {
        next: ({ data }) => received.bodies.push(data?.messageAdded.message.body ?? ''),
        error: () => undefined,
        complete: () => undefined,
      },
    );
  },
  'Apollo Client'(person, room, received) {
    const chat = chatOf(person, { webSocketImpl: recording(received) });
    const client = new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(cachePolicies) });
    onTestFinished(() => {
      client.stop();
    });
    client.subscribe<any>({ query: gql(MESSAGE_ADDED), variables: { room } }).subscribe({
      next: ({ data }) => {
        // The end of the session is a result without data.
        if (data) received.bodies.push(data.messageAdded.message.body);
      },
      error: () => undefined,
    });
  },
  urql(person, room, received) {
    const chat = chatOf(person, { webSocketImpl: recording(received) });
    const client = new Client({ url: `${person.url}/graphql`, exchanges: [chatCacheExchange(), chatExchange(chat)] });
    const listening = client.subscription<any>(urqlGql(MESSAGE_ADDED), { room }).subscribe(({ data }) => {
      if (data) received.bodies.push(data.messageAdded.message.body);
    });
    onTestFinished(() => {
      listening.unsubscribe();
    });
  },
};

test.each(Object.entries(listeners))('%s uses tokens of both kinds until they are revoked', async (_, listen) => {
  const issuer = await startIssuer();
  const server = await startTestServer({ env: { JWT_ISSUER: issuer.issuer, JWT_JWKS_URL: issuer.jwksUrl } });
  const shop = await backend(server);
  await shop.call(UPSERT, { users: [{ externalId: 'u1' }, { externalId: 'u2' }] });
  const { chatroom } = await shop.call(CREATE_ROOM, {
    ...{ kind: 'GROUP', externalId: 'r1', ownerExternalId: 'u1', memberExternalIds: ['u2'] },
  });
  const { accessToken: minted } = await shop.call(CREATE_TOKEN, { externalId: 'u2' });
  const own = await issuer.token('u2');
  const clients = [minted, own].map((accessToken) => {
    const received: Received = { bodies: [], closed: undefined };
    listen({ url: server.url, accessToken } as Person, chatroom.id, received);
    return received;
  });
  await expect.poll(() => server.node.gauges.streams).toBe(2);
  await shop.call(SEND_AS, { chatroomExternalId: 'r1', asUserExternalId: 'u1', body: 'hello' });
  for (const received of clients) await expect.poll(() => received.bodies).toEqual(['hello']);

  await shop.call(REVOKE_TOKENS, { externalId: 'u2' });
  for (const received of clients) await expect.poll(() => received.closed).toBe(4401);
});
