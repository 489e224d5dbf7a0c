import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { readEventPage } from '../src/features/chatroomEvents/eventPage.ts';
import { DEFAULT_DOCUMENT, webhookEvents } from '../src/features/webhooks/events.ts';
import { personalFields } from '../src/features/webhooks/personalFields.ts';
import { codesOf } from './support/client.ts';
import { BLOCK, createRoom, REACT } from './support/rooms.ts';
import { pathsFrom, selectionOf } from './support/selections.ts';
import { startTestServer, type TestServer, WIDE_LIMITS } from './support/server.ts';
import { ALLOW, CREATE_WEBHOOK, openShop } from './support/webhooks.ts';
import { send, world } from './support/world.ts';

const ARGS = { message: 'number: 1', searchMessages: 'query: "word"' };

/** Returns events of all kinds in a room whose members block each other. */
async function eventsOf(server: TestServer) {
  const { ann, ben } = await world(server);
  // A room without a name, so that its title depends on the viewer.
  const room = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
  const first = await send(ben, room, 'first');
  const { id } = await send(ann, room, 'reply', { replyToId: first.id });
  await ben.ask(REACT, { id });
  await ann.ask(BLOCK, { id: ben.id });
  await ben.ask(BLOCK, { id: ann.id });
  const [joined, ...events] = await readEventPage(server.node, keyOf('Chatroom', room) ?? '', 0);
  const message = events.findLast((event) => event.message?.replyToNumber != null)?.message ?? null;
  if (!joined || !message) throw new Error('The room lacks an event.');
  const about = {
    ...joined,
    message,
    number: message.number,
    userId: keyOf('User', ben.id),
    actorId: keyOf('User', ben.id),
  };
  return Object.keys(webhookEvents).map((kind) => ({ ...about, kind: kind as keyof typeof webhookEvents }));
}

test('every field that depends on the viewer is refused, and no other', { timeout: 180_000 }, async () => {
  const server = await startTestServer({ env: WIDE_LIMITS });
  const { documents } = server.node.webhooks;
  const events = await eventsOf(server);
  const used = new Set<string>();
  const failures: string[] = [];
  for (const path of pathsFrom('ChatroomEvent', 4, ARGS)) {
    const text = `subscription { chatroomEvents(chatroomId: "") ${selectionOf([path])} }`;
    let refusal: string | null = null;
    try {
      documents.check(text, 'input.document');
    } catch (error) {
      refusal = (error as Error).message;
      const [coordinate] = /\w+\.\w+(?= depends on the viewer)/.exec(refusal) ?? [];
      if (coordinate === undefined) failures.push(`${text}: ${refusal}`);
      else used.add(coordinate);
    }
    if (refusal !== null) continue;
    const [on] = /(?<=\.\.\. on )\w+/.exec(text) ?? [];
    for (const event of events)
      if (kindOf(on) === event.kind)
        await documents.execute('shop', text, event, { chatroomId: '' }).then(
          ({ errors }) => errors && failures.push(`${text}: ${errors[0]?.message}`),
          (error: unknown) => failures.push(`${text}: ${(error as Error).message}`),
        );
  }
  expect(failures).toEqual([]);
  // The last one lies deeper than the paths.
  expect([...used, 'ReactionGroup.users'].sort()).toEqual([...personalFields].sort());
});

const kindOf = (type = '') => type.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();

test('the default document shows events of all kinds', async () => {
  const server = await startTestServer();
  const { documents } = server.node.webhooks;
  expect(documents.check(DEFAULT_DOCUMENT, 'input.document')).toBe('chatroomEvents');
  for (const event of await eventsOf(server)) {
    const { data, errors } = await documents.execute('shop', DEFAULT_DOCUMENT, event, { chatroomId: '' });
    expect(errors).toBeUndefined();
    expect(kindOf((data as any).chatroomEvents.__typename)).toBe(event.kind);
  }
});

describe('a document', () => {
  const inRoom = (selection: string) =>
    `subscription ($chatroomId: ID!) { chatroomEvents(chatroomId: $chatroomId) ${selection} }`;

  test.each([
    ['subscription {', /Syntax Error/],
    ['{ viewer { id } }', /must be a subscription/],
    ['subscription { viewerEvents { __typename } }', /one root field: chatroomEvents or messageAdded/],
    ['subscription { a: messageAdded { seq } b: messageAdded { seq } }', /only one top level field/],
    ['subscription A { messageAdded { seq } } query B { viewer { id } }', /must have one operation/],
    [inRoom('{ nothing }'), /Cannot query field/],
    [inRoom('{ chatroom { unreadCount } }'), /Chatroom\.unreadCount depends on the viewer/],
    [`${inRoom('{ ...F }')} fragment F on ChatroomEvent { chatroom { title } }`, /Chatroom\.title depends/],
    ['subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { seq } }', /does not supply the variable \$id/],
    [inRoom(`{ ${Array.from({ length: 30 }, (_, i) => `a${i}: seq`).join(' ')} }`), /aliases/],
    [' '.repeat(20_001), /at most 20000 characters/],
  ])('is refused with a reason: %s', async (document, reason) => {
    const server = await startTestServer({ env: ALLOW });
    const shop = await openShop(server);
    const input = { name: 'hook', url: 'http://127.0.0.1:1/', events: ['MESSAGE_ADDED'], document };
    const result = await shop.ask(CREATE_WEBHOOK, { input });
    expect(codesOf(result)).toEqual(['BAD_USER_INPUT']);
    expect(result.errors?.[0]).toMatchObject({
      message: expect.stringMatching(reason),
      extensions: { path: ['input', 'document'] },
    });
  });

  test('with messageAdded is refused for other events', async () => {
    const shop = await openShop(await startTestServer({ env: ALLOW }));
    const document = 'subscription { messageAdded { message { body } } }';
    const input = { name: 'hook', url: 'http://127.0.0.1:1/', events: ['MESSAGE_ADDED', 'MESSAGE_EDITED'], document };
    expect(codesOf(await shop.ask(CREATE_WEBHOOK, { input }))).toEqual(['BAD_USER_INPUT']);
  });
});
