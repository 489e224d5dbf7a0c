import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request as forward } from 'node:http';
import { type AddressInfo, connect as dial } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createServiceToken } from '../src/auth/serviceTokens.ts';
import { createBot, ROTATE_BOT_TOKEN } from './support/bots.ts';
import { type Person, request } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const RENAME = `mutation ($id: ID!) { updateChatroom(input: { chatroomId: $id, name: "Echoes" }) { chatroom { id } } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const SYSTEM = `mutation ($id: ID!, $body: String!) { sendSystemMessage(input: { chatroomId: $id, body: $body }) { onlineRecipients } }`;
const HISTORY = `query ($id: ID!) { chatroom(id: $id) { messages(first: 100) { nodes { kind body clientMessageId sender { username } } } } }`;

/** Starts the bot, which ends with the test. */
function runEcho(url: string, token: string) {
  const child = spawn(process.execPath, ['examples/echo.mjs'], {
    env: { PATH: process.env['PATH'], PARLEY_URL: `${url}/graphql`, PARLEY_TOKEN: token },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit') as Promise<[number | null]>;
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return {
    output: () => output,
    ended: exited.then(([code]) => code),
    isRunning: () => child.exitCode === null && child.signalCode === null,
  };
}

/** Starts the bot, and returns when it prints that it listens. */
async function startEcho(url: string, { accessToken }: Pick<Person, 'accessToken'>) {
  const bot = runEcho(url, accessToken);
  await expect.poll(bot.output, { timeout: 10_000 }).toMatch(/^\w+ listens\.$/m);
  return bot;
}

/** Returns the messages of a room with their senders. SYSTEM messages have none. */
async function said(person: Person, room: string): Promise<string[]> {
  const { nodes } = (await person.ask(HISTORY, { id: room })).chatroom.messages;
  return nodes.map(({ kind, sender, body }: any) => (kind === 'SYSTEM' ? `(${body})` : `${sender.username}: ${body}`));
}

async function direct(person: Person, other: Person): Promise<string> {
  const input = { kind: 'DIRECT', memberIds: [other.id] };
  return (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
}

/** Sends a message and waits for the bot's reply. The bot processes the messages of a room one at a time. */
async function answered(person: Person, room: string, body: string): Promise<void> {
  await send(person, room, body);
  await expect.poll(() => said(person, room)).toContain(`echo: ${body}`);
}

describe('the echo bot', () => {
  test('answers users in direct rooms and groups, but not itself', async () => {
    const server = await startTestServer();
    const { ann, ben, room: group } = await world(server);
    const echo = await createBot(ann, 'echo');
    await send(ann, group, 'before echo');
    const bot = await startEcho(server.url, echo);

    const room = await direct(ben, echo);
    await answered(ben, room, 'Hello, is anyone there?');
    await ann.ask(ADD, { id: group, users: [echo.id] });
    await answered(ann, group, 'Welcome');
    await ann.ask(RENAME, { id: group });
    const headers = { authorization: `Bearer ${await createServiceToken(server.node.database, 'billing')}` };
    expect((await request(server.url, SYSTEM, { id: group, body: 'A notice' }, headers)).errors).toBeUndefined();
    await answered(ben, group, ' with spaces, 改行\nand 👍 ');
    await answered(ben, room, 'still there?');
    // A reply to the last message of each room proves that the bot has processed all earlier ones, its own replies
    // included.
    expect(await said(ann, group)).toEqual([
      ...['ann: before echo', '(null)', 'ann: Welcome', 'echo: Welcome', '(null)', '(A notice)'],
      ...['ben:  with spaces, 改行\nand 👍 ', 'echo:  with spaces, 改行\nand 👍 '],
    ]);
    expect(await said(ben, room)).toEqual([
      ...['ben: Hello, is anyone there?', 'echo: Hello, is anyone there?'],
      ...['ben: still there?', 'echo: still there?'],
    ]);
    // The bot is silent in a room that it has left, and continues elsewhere.
    await echo.ask('mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }', { id: group });
    await send(ann, group, 'without echo');
    await answered(ben, room, 'and now?');
    expect((await said(ann, group)).slice(-2)).toEqual(['(null)', 'ann: without echo']);
    expect(bot.isRunning()).toBe(true);
  });

  test('answers messages missed during an outage exactly once', { timeout: 90_000 }, async () => {
    const first = await startTestServer();
    const elsewhere = await startTestServer({ databaseUrl: first.databaseUrl });
    const { ann, ben, eve } = await world(elsewhere);
    const echo = await createBot(ann, 'echo');
    await startEcho(first.url, echo);
    const [room, other] = [await direct(ben, echo), await direct(ann, echo)];
    await answered(ben, room, 'one');
    await first.stop();
    await send(ben, room, 'two');
    await ben.ask(DELETE, await send(ben, room, 'never mind'));
    await send(ben, room, 'three');
    await send(ann, other, 'four');
    // The bot has not seen this room before.
    const unknown = await direct(eve, echo);
    await send(eve, unknown, 'five');
    expect(await said(ben, room)).toHaveLength(5);

    const again = await startTestServer({
      databaseUrl: first.databaseUrl,
      env: { PORT: new URL(first.url).port },
    });
    expect(again.url).toBe(first.url);
    for (const [person, id, body] of [
      [ben, room, 'three'],
      [ann, other, 'four'],
      [eve, unknown, 'five'],
    ] as const)
      await expect.poll(() => said(person, id), { timeout: 60_000 }).toContain(`echo: ${body}`);
    await answered(ben, room, 'six');
    expect(await said(ben, room)).toEqual([
      ...['ben: one', 'echo: one', 'ben: two', 'ben: null', 'ben: three', 'echo: two', 'echo: three'],
      ...['ben: six', 'echo: six'],
    ]);
    expect(await said(ann, other)).toEqual(['ann: four', 'echo: four']);
    expect(await said(eve, unknown)).toEqual(['eve: five', 'echo: five']);
    // The server recognises a second reply to the same message by these ids.
    const { nodes } = (await ben.ask(HISTORY, { id: room })).chatroom.messages;
    expect(nodes.flatMap((message: any) => message.clientMessageId ?? [])).toEqual(
      [1, 3, 5, 8].map((number) => `echo ${number}`),
    );
  });

  test('retries an answer that failed', { timeout: 60_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const echo = await createBot(ann, 'echo');
    const network = await startNetwork(server.url);
    await startEcho(network.url, echo);
    const room = await direct(ben, echo);
    await answered(ben, room, 'one');
    network.isBroken = true;
    await send(ben, room, 'two');
    await expect.poll(() => network.dropped).toBeGreaterThan(0);
    network.isBroken = false;
    await expect.poll(() => said(ben, room), { timeout: 30_000 }).toContain('echo: two');
    await answered(ben, room, 'three');
    expect(await said(ben, room)).toEqual(['one', 'two', 'three'].flatMap((body) => [`ben: ${body}`, `echo: ${body}`]));
  });

  test('exits with the reason when its token ends', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const wrong = runEcho(server.url, 'parley-bot-unknown');
    expect(await wrong.ended).toBe(1);
    expect(wrong.output()).toContain('The token of the bot is unknown or was replaced.');
    const echo = await createBot(ann, 'echo');
    const bot = await startEcho(server.url, echo);
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await ann.ask(ROTATE_BOT_TOKEN, { id: echo.id });
    expect(await bot.ended).toBe(1);
    expect(bot.output()).toContain('This session has ended.');
  });

  test('stops by itself when it meets another echo bot', { timeout: 60_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const echoes = [await createBot(ann, 'echo1'), await createBot(ben, 'echo2')];
    const bots = await Promise.all(echoes.map((echo) => startEcho(server.url, echo)));
    await ann.ask(ADD, { id: room, users: echoes.map(({ id }) => id) });
    await send(ann, room, 'Hello?');
    await expect.poll(() => bots.every((bot) => bot.output().includes('RATE_LIMITED')), { timeout: 30_000 }).toBe(true);
    const bodies = (await said(ann, room)).filter((line) => line.startsWith('echo'));
    expect(bodies).toHaveLength(10);
    expect(new Set(bodies)).toEqual(new Set(['echo1: Hello?', 'echo2: Hello?']));
    // Each has been refused once, and does not retry. Of 12 messages to answer, none is left.
    for (const bot of bots) expect(bot.output().match(/RATE_LIMITED/g)).toHaveLength(1);
  });
});

/** A network between client and server that drops requests but keeps open WebSockets working. */
async function startNetwork(url: string) {
  const { hostname, port } = new URL(url);
  const network = { url: '', isBroken: false, dropped: 0 };
  const proxy = createServer((incoming, response) => {
    if (network.isBroken) {
      network.dropped += 1;
      incoming.socket.destroy();
      return;
    }
    const { method, headers, url: path } = incoming;
    const onward = forward({ hostname, port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    incoming.pipe(onward);
  });
  proxy.on('upgrade', (incoming, socket, head) => {
    const onward = dial(Number(port), hostname, () => {
      const headers = incoming.rawHeaders.flatMap((name, i, all) => (i % 2 ? [] : [`${name}: ${all[i + 1] ?? ''}`]));
      onward.write(`GET ${incoming.url ?? ''} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    for (const side of [socket, onward]) side.on('error', () => undefined);
    onTestFinished(() => {
      onward.destroy();
      socket.destroy();
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onTestFinished(async () => {
    proxy.closeAllConnections();
    proxy.close();
    await once(proxy, 'close');
  });
  network.url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return network;
}
