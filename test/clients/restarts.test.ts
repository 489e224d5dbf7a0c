import { setTimeout as pass } from 'node:timers/promises';
import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { Client as UrqlClient, gql as urqlGql } from '@urql/core';
import { expect, onTestFailed, onTestFinished, test } from 'vitest';
import { addMessage, cachePolicies, createChatLink } from '../../client/apollo.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import { startProxy } from '../faults/proxy.ts';
import type { Person } from '../support/client.ts';
import { world } from '../support/world.ts';
import { bodies, chatOf } from './chatOf.ts';
import { ANYWHERE, CURSOR, EVENTS, HISTORY, MESSAGE_ADDED } from './documents.ts';
import { startRestarting } from './restarting.ts';
import { resumeByHand } from './resumeByHand.ts';

// The long form, RESTARTING_SECONDS=60, sends 1,000 messages.
const SECONDS = Number(process.env['RESTARTING_SECONDS'] ?? 15);
/** A port without a listener. */
const NOWHERE = 9;
const COUNT = Math.round((SECONDS * 1_000) / 60);

test(
  `clients receive ${COUNT} messages in order over ${SECONDS} s of restarts`,
  async () => {
    const server = await startRestarting();
    const port = Number(new URL(server.url).port);
    const proxy = await startProxy(port);
    onTestFinished(() => {
      proxy.close();
    });
    const { ann, ben, room } = await world(server);
    const [sender, reader] = [ann, ben].map((person) => person.at(`http://127.0.0.1:${proxy.port}`)) as [
      Person,
      Person,
    ];
    const { chatroom } = await ben.ask(CURSOR, { room });
    const received = await startReaders(reader, room, chatroom.cursor);

    const began = performance.now();
    let sent = 0;
    onTestFailed(() => {
      const lengths = Object.entries(received).map(([name, { length }]) => `${name}: ${length}`);
      console.log(`${sent} sent, ${restarts} restarts; ${lengths.join(', ')}`);
    });
    let restarts = 0;
    async function keepRestarting(): Promise<void> {
      for (; performance.now() - began < SECONDS * 1_000; restarts += 1) {
        await pass(2_000 - ((performance.now() - began) % 2_000));
        // Every other restart is sudden: connections are reset without a close frame.
        if (restarts % 2 === 0) {
          proxy.aim(NOWHERE);
          proxy.reset();
        }
        await server.stop();
        await server.start();
        proxy.aim(port);
      }
    }
    const restarting = keepRestarting();
    const chat = chatOf(sender);
    let longest = 0;
    for (; sent < COUNT; sent += 1) {
      const due = began + (sent * SECONDS * 1_000) / COUNT;
      await pass(Math.max(0, due - performance.now()));
      const asked = performance.now();
      await chat.send({ chatroomId: room, body: String(sent + 1) });
      longest = Math.max(longest, performance.now() - asked);
    }
    await restarting;
    for (const [name, list] of Object.entries(received))
      await expect.poll(() => list.length, { timeout: 60_000, message: name }).toBeGreaterThanOrEqual(COUNT);
    const took = Math.round((performance.now() - began) / 1_000);
    console.log(`${COUNT} messages, ${restarts} restarts, ${took} s; the longest send took ${Math.round(longest)} ms.`);
    expect(restarts).toBeGreaterThan(0);
    for (const [name, list] of Object.entries(received)) expect(list, name).toEqual(bodies(COUNT));
  },
  SECONDS * 10_000 + 60_000,
);

/** Starts a reader of each kind. Returns the bodies that each has received, or currently shows. */
async function startReaders(person: Person, room: string, after: string): Promise<Record<string, readonly string[]>> {
  const received: Record<string, string[]> = { 'one room': [], 'all rooms': [], 'all events': [], 'graphql-ws': [] };
  const read = async (name: string, document: string, variables: object) => {
    for await (const data of chatOf(person).subscribe(document, variables)) {
      const { message } = (data.messageAdded ?? data.chatroomEvents) as { message?: { body: string } };
      if (message) received[name]?.push(message.body);
    }
  };
  const { viewer } = await person.ask('{ viewer { cursor } }');
  void read('one room', MESSAGE_ADDED, { room, after });
  void read('all rooms', ANYWHERE, { after: viewer.cursor });
  void read('all events', EVENTS, { room, after });
  resumeByHand(person, MESSAGE_ADDED, { room, after }, ({ message }) => received['graphql-ws']?.push(message.body));
  const [apollo, urql] = await Promise.all([apolloList(person, room), urqlList(person, room)]);
  return {
    ...received,
    'Apollo, received': apollo.received,
    'Apollo, shown': apollo.shown,
    'urql, received': urql.received,
    'urql, shown': urql.shown,
  };
}

interface Reader {
  received: string[];
  shown: string[];
}

function show(reader: Reader, data: any): void {
  reader.shown.splice(0, Infinity, ...data.chatroom.messages.edges.map(({ node }: any) => node.body));
}

async function apolloList(person: Person, room: string): Promise<Reader> {
  const reader: Reader = { received: [], shown: [] };
  const client = new ApolloClient({ link: createChatLink(chatOf(person)), cache: new InMemoryCache(cachePolicies) });
  const query = { query: gql(HISTORY), variables: { room, last: 10 } };
  const { data } = await client.query<any>(query);
  const watching = client.watchQuery<any>(query).subscribe(({ data: list }) => {
    if (list?.chatroom) show(reader, list);
  });
  const variables = { room, after: data.chatroom.cursor };
  const listening = client.subscribe<any>({ query: gql(MESSAGE_ADDED), variables }).subscribe(({ data: event }) => {
    reader.received.push(event.messageAdded.message.body);
    addMessage(client.cache, room, event.messageAdded.message);
  });
  onTestFinished(() => {
    watching.unsubscribe();
    listening.unsubscribe();
    client.stop();
  });
  return reader;
}

async function urqlList(person: Person, room: string): Promise<Reader> {
  const reader: Reader = { received: [], shown: [] };
  const url = `${person.url}/graphql`;
  const client = new UrqlClient({ url, exchanges: [chatCacheExchange(), chatExchange(chatOf(person))] });
  const watching = client.query<any>(urqlGql(HISTORY), { room, last: 10 }).subscribe(({ data }) => {
    if (data?.chatroom) show(reader, data);
  });
  const { data } = await client.query<any>(urqlGql(CURSOR), { room }).toPromise();
  const listening = client
    .subscription<any>(urqlGql(MESSAGE_ADDED), { room, after: data.chatroom.cursor })
    .subscribe((result) => {
      reader.received.push(result.data.messageAdded.message.body);
    });
  onTestFinished(() => {
    watching.unsubscribe();
    listening.unsubscribe();
  });
  return reader;
}
