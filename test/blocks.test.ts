import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encodeId, keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import type { Person } from './support/client.ts';
import { attach, get, PNG, sendFile, textFile } from './support/files.ts';
import { fcmMessage, startFcm } from './support/providers.ts';
import { createRoom, MARK_READ } from './support/rooms.ts';
import { startTestServer, waitForPoll } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const target = (name: string) => `mutation ($id: ID!) { ${name}(input: { userId: $id }) { viewer { id } } }`;
const HISTORY = `query ($id: ID!) { chatroom(id: $id) { messages { nodes { body } } lastMessage { body } unreadCount members { nodes { user { username } lastReadNumber } } } viewer { unreadCount } }`;
const REACTIONS = `query ($id: ID!) { node(id: $id) { ... on Message { reactions { emoji count } seenByAll seenBy { nodes { username } } } } }`;
const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const ADD = `mutation ($id: ID!, $user: ID!) { addChatroomMembers(input: { chatroomId: $id, userIds: [$user] }) { chatroom { id } } }`;
const TYPE = `mutation ($id: ID!) { setTyping(input: { chatroomId: $id, typing: true }) { ok } }`;
const SEARCH = `query ($id: ID!, $query: String!) { chatroom(id: $id) { searchMessages(query: $query) { nodes { body } } } viewer { searchMessages(query: $query) { nodes { body } } } }`;

/** Sets up a group in which A (ann) blocks B (ben). Both wrote messages before and after the block. */
async function blockedWorld() {
  const fcm = await startFcm();
  const server = await startTestServer({ env: fcm.env });
  const { ann: a, ben: b, eve: c } = await world(server);
  await a.ask(target('addFriend'), { id: b.id });
  const make = async (input: object) => (await a.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom;
  const group = await make({ kind: 'GROUP', name: 'Group', memberIds: [b.id, c.id] });
  const direct = await make({ kind: 'DIRECT', memberIds: [b.id] });
  const messages = {
    direct: await send(b, direct.id, 'word in private'),
    byC: await send(c, group.id, 'word of c'),
    byA: await send(a, group.id, 'word of a'),
    byB: await send(b, group.id, 'word of b'),
  };
  // Precondition: before the block, each sees the other.
  for (const person of [a, b]) expect(await bodies(person, group.id)).toEqual(['word of c', 'word of a', 'word of b']);
  await a.ask(target('blockUser'), { id: b.id });
  return {
    server,
    fcm,
    a,
    b,
    c,
    group: group.id as string,
    start: group.cursor as string,
    direct: direct.id as string,
    messages,
  };
}

type World = Awaited<ReturnType<typeof blockedWorld>>;

const bodies = async (person: Person, room: string) =>
  (await person.ask(HISTORY, { id: room })).chatroom.messages.nodes.map((message: any) => message.body);
const both = async ({ a, b }: World, check: (person: Person, other: Person) => Promise<unknown>) => [
  await check(a, b),
  await check(b, a),
];

/** Checks of each row of the table, for A and for B. */
const checks: Record<string, (world: World) => Promise<void>> = {
  friendship: async (w) => {
    expect(
      await both(
        w,
        async (person) => (await person.ask('{ viewer { friends { nodes { id } } } }')).viewer.friends.nodes,
      ),
    ).toEqual([[], []]);
  },
  'add a friend': async (w) => {
    expect(await both(w, (person, other) => person.askForErrorCode(target('addFriend'), { id: other.id }))).toEqual([
      'BLOCKED',
      'BLOCKED',
    ]);
  },
  'open a direct room': async (w) => {
    expect(
      await both(w, (person, other) =>
        person.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [other.id] } }),
      ),
    ).toEqual(['BLOCKED', 'BLOCKED']);
  },
  'write to a direct room': async (w) => {
    expect(
      await both(w, (person) => person.askForErrorCode(SEND, { input: { chatroomId: w.direct, body: 'hi' } })),
    ).toEqual(['BLOCKED', 'BLOCKED']);
  },
  'history of a direct room': async (w) => {
    expect(await both(w, (person) => bodies(person, w.direct))).toEqual([['word in private'], ['word in private']]);
  },
  'make a group with the other': async (w) => {
    expect(
      await both(w, (person, other) =>
        person.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [w.c.id, other.id] } }),
      ),
    ).toEqual(['BLOCKED', 'BLOCKED']);
  },
  'history of a group': async (w) => {
    expect(await both(w, (person) => bodies(person, w.group))).toEqual([
      ['word of c', 'word of a'],
      ['word of c', 'word of a', 'word of b'],
    ]);
  },
  'last message of a group': async (w) => {
    const last = async (person: Person) => (await person.ask(HISTORY, { id: w.group })).chatroom.lastMessage.body;
    expect(await both(w, last)).toEqual(['word of a', 'word of b']);
  },
  'a message by its id or number': async (w) => {
    const find = (person: Person) =>
      person.ask(
        'query ($id: ID!, $room: ID!) { node(id: $id) { __typename } chatroom(id: $room) { message(number: 3) { body } } }',
        { id: w.messages.byB.id, room: w.group },
      );
    expect(await both(w, find)).toEqual([
      { node: null, chatroom: { message: null } },
      { node: { __typename: 'Message' }, chatroom: { message: { body: 'word of b' } } },
    ]);
  },
  'live and missed messages of a group': async (w) => {
    const streams = [w.a, w.b].map((person) =>
      person.connect().subscribe(MESSAGE_ADDED, { room: w.group, after: w.start }),
    );
    await streams[1]?.take(3);
    await send(w.b, w.group, 'live of b');
    await send(w.c, w.group, 'live of c');
    await streams[0]?.take(3);
    await streams[1]?.take(2);
    const heard = streams.map((stream) => stream.received.map((event) => event.message.body));
    expect(heard).toEqual([
      ['word of c', 'word of a', 'live of c'],
      ['word of c', 'word of a', 'word of b', 'live of b', 'live of c'],
    ]);
  },
  search: async (w) => {
    const found = async (person: Person) => {
      const { chatroom, viewer } = await person.ask(SEARCH, { id: w.group, query: 'word' });
      return [chatroom, viewer].map((place) => place.searchMessages.nodes.map((message: any) => message.body));
    };
    expect(await both(w, found)).toEqual([
      [
        ['word of a', 'word of c'],
        ['word of a', 'word of c', 'word in private'],
      ],
      [
        ['word of b', 'word of a', 'word of c'],
        ['word of b', 'word of a', 'word of c', 'word in private'],
      ],
    ]);
  },
  'unread counts': async (w) => {
    await send(w.b, w.group, 'more of b');
    await send(w.a, w.group, 'more of a');
    await send(w.b, w.group, 'last of b');
    const unread = async (person: Person) => (await person.ask(HISTORY, { id: w.group })).chatroom.unreadCount;
    expect(await unread(w.a)).toBe(0);
    expect(await unread(w.c)).toBe(5);
    await send(w.a, w.group, 'end of a');
    expect(await unread(w.b)).toBe(1);
    await w.a.ask(target('unblockUser'), { id: w.b.id });
    await send(w.b, w.group, 'seen again');
    expect(await unread(w.a)).toBe(1);
  },
  'reactions in a group': async (w) => {
    const { id } = w.messages.byC;
    await w.b.ask(REACT, { id });
    await w.c.ask(REACT, { id });
    const counts = async (person: Person) => (await person.ask(REACTIONS, { id })).node.reactions;
    expect(await both(w, counts)).toEqual([[{ emoji: '👍', count: 1 }], [{ emoji: '👍', count: 2 }]]);
  },
  'who reacted in a group': async (w) => {
    const { id } = w.messages.byC;
    for (const person of [w.a, w.b, w.c]) await person.ask(REACT, { id });
    const names = async (person: Person) =>
      (
        await person.ask(
          'query ($id: ID!) { node(id: $id) { ... on Message { reactions { users { nodes { username } } } } } }',
          { id },
        )
      ).node.reactions[0].users.nodes.map((user: any) => user.username);
    expect(await both(w, names)).toEqual([
      [w.a.username, w.c.username],
      [w.a.username, w.b.username, w.c.username],
    ]);
  },
  'link previews in a group': async (w) => {
    const { id, number } = w.messages.byB;
    const [preview] = await w.server.node.database.query<{ id: string }>(sql`
      WITH page AS (INSERT INTO web_pages (url, title) VALUES ('https://example.org/', 'A page') RETURNING id)
      INSERT INTO link_previews (page_id, chatroom_id, number, position)
        SELECT id, ${keyOf('Chatroom', w.group)}::uuid, ${number}::int, 1 FROM page RETURNING id`);
    const ids = [id, encodeId('LinkPreview', preview?.id ?? '')];
    const NODES = `query ($ids: [ID!]!) { nodes(ids: $ids) {
      ... on Message { linkPreviews { title } } ... on LinkPreview { title } } }`;
    const seen = async (person: Person) => (await person.ask(NODES, { ids })).nodes;
    const title = { title: 'A page' };
    expect(await both(w, seen)).toEqual([
      [null, null],
      [{ linkPreviews: [title] }, title],
    ]);
    const CHANGED = `subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { __typename } }`;
    const streams = [w.a, w.b].map((person) => person.connect().subscribe(CHANGED, { id: w.group }));
    for (const stream of streams) await stream.ready();
    const REMOVE = `mutation ($id: ID!, $preview: ID!) { removeLinkPreview(input: { messageId: $id, linkPreviewId: $preview }) { message { id } } }`;
    await w.b.ask(REMOVE, { id, preview: ids[1] });
    await send(w.c, w.group, 'next');
    const kinds = async (count: number, stream = streams[0]) => (await stream?.take(count))?.map((e) => e.__typename);
    expect([await kinds(1), await kinds(2, streams[1])]).toEqual([
      ['MessageAdded'],
      ['LinkPreviewsChanged', 'MessageAdded'],
    ]);
  },
  'who has read': async (w) => {
    const { id } = w.messages.byC;
    const seen = async (person: Person) =>
      (await person.ask(REACTIONS, { id })).node.seenBy.nodes.map((user: any) => user.username);
    expect(await seen(w.c)).toEqual(['ann', 'ben']);
    expect(await both(w, seen)).toEqual([['ann'], ['ben']]);
  },
  'read marks of members': async (w) => {
    const mark = async (person: Person, other: Person) =>
      (await person.ask(HISTORY, { id: w.group })).chatroom.members.nodes.find(
        (member: any) => member.user.username === other.username,
      ).lastReadNumber;
    expect(await mark(w.c, w.a)).toBe(2);
    expect(await both(w, mark)).toEqual([0, 0]);
  },
  'who is blocked': async (w) => {
    const told = async (person: Person, other: Person) => {
      const { user, viewer } = await person.ask(
        'query ($name: String!) { user(username: $name) { viewerHasBlocked } viewer { blockedUsers { nodes { username } } } }',
        { name: other.username },
      );
      return [user.viewerHasBlocked, viewer.blockedUsers.nodes];
    };
    expect(await both(w, told)).toEqual([
      [true, [{ username: 'ben' }]],
      [false, []],
    ]);
  },
  'add the other to a group': async (w) => {
    const add = async (person: Person, other: Person) => {
      const { createChatroom } = await person.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [w.c.id] } });
      return person.askForErrorCode(ADD, { id: createChatroom.chatroom.id, user: other.id });
    };
    expect(await both(w, add)).toEqual(['BLOCKED', 'BLOCKED']);
  },
  presence: async (w) => {
    for (const person of [w.a, w.b]) await person.connect().ask('{ viewer { id } }');
    const seen = async (person: Person, other: Person) =>
      (
        await person.ask('query ($name: String!) { user(username: $name) { presence { status } } }', {
          name: other.username,
        })
      ).user.presence;
    expect(await seen(w.a, w.a)).toEqual({ status: 'ONLINE' });
    expect(await both(w, seen)).toEqual([null, null]);
  },
  typing: async (w) => {
    const heard = await hear(
      w,
      'subscription ($id: ID!) { typingChanged(chatroomId: $id) { user { username } } }',
      { id: w.group },
      async () => {
        for (const person of [w.a, w.b, w.c]) await person.ask(TYPE, { id: w.group });
      },
      (event) => event.user.username === 'eve',
    );
    expect(heard).toEqual([[{ user: { username: 'eve' } }], [{ user: { username: 'eve' } }]]);
  },
  'live read marks': async (w) => {
    const read = (person: Person, id: string) =>
      person.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }', { id });
    const ofC = await send(w.c, w.group, 'live of c');
    let lastNumber = 0;
    const heard = await hear(
      w,
      'subscription ($id: ID!) { readMarksChanged(chatroomId: $id) { members { user { username } lastReadNumber } } }',
      { id: w.group },
      async () => {
        for (const person of [w.a, w.b]) await read(person, ofC.id);
        const last = await send(w.a, w.group, 'live of a');
        lastNumber = last.number;
        await read(w.c, last.id);
      },
      // Earlier mark changes are reported as well, 100 ms later.
      (event) =>
        event.members.some(({ user, lastReadNumber }: any) => user.username === 'eve' && lastReadNumber === lastNumber),
    );
    // A mark that moves twice may produce one event or two.
    const names = heard.map((events) =>
      [...new Set(events.flatMap(({ members }) => members.map(({ user }: any) => user.username as string)))].sort(),
    );
    expect(names).toEqual([
      ['ann', 'eve'],
      ['ben', 'eve'],
    ]);
  },
  'messages over all rooms': async (w) => {
    const heard = await hear(
      w,
      'subscription { messageAdded { message { body } } }',
      {},
      async () => {
        await send(w.b, w.group, 'live of b');
        await send(w.c, w.group, 'live of c');
      },
      (event) => event.message.body === 'live of c',
    );
    expect(heard.map((events) => events.map((event) => event.message.body))).toEqual([
      ['live of c'],
      ['live of b', 'live of c'],
    ]);
  },
  'news of unread messages': async (w) => {
    const heard = await hear(
      w,
      'subscription { viewerEvents { ... on UnreadChanged { unreadCount } } }',
      {},
      async () => {
        // Both members read everything before the other member and c write.
        await send(w.a, w.group, 'a has read');
        await send(w.b, w.group, 'b has read');
        await send(w.c, w.group, 'news');
      },
      (event) => event.unreadCount > 0,
    );
    // A message of a may count as unread for b until b has read it.
    await expect.poll(() => heard.map((events) => events.at(-1))).toEqual([{ unreadCount: 1 }, { unreadCount: 1 }]);
    // If the first count is read late, its event may be repeated. The count never includes a message of b.
    expect(heard[0]?.every((event) => event.unreadCount <= 1)).toBe(true);
  },
  'news of the block': async (w) => {
    // A poll also reports the block to streams that began shortly after the block; see `onPolled`.
    await waitForPoll(w.server);
    const heard = await hear(
      w,
      `subscription { viewerEvents { ... on BlockChanged { userId blocked } ... on ChatroomAppeared { chatroom { name } } } }`,
      {},
      async () => {
        await w.a.ask(target('unblockUser'), { id: w.b.id });
        await waitForPoll(w.server);
        for (const { id } of [w.a, w.b])
          await w.c.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: 'last', memberIds: [id] } });
      },
      (event) => event.chatroom?.name === 'last',
    );
    expect(heard.map((events) => events.filter((event) => 'userId' in event))).toEqual([
      [{ userId: w.b.id, blocked: false }],
      [],
    ]);
  },
  'who changed a group': async (w) => {
    const update = `mutation ($id: ID!, $topic: String) { updateChatroom(input: { chatroomId: $id, topic: $topic }) { chatroom { id } } }`;
    const rank = `mutation ($id: ID!, $user: ID!) { setMemberRole(input: { chatroomId: $id, userId: $user, role: ADMIN }) { chatroom { id } } }`;
    await w.a.ask(rank, { id: w.group, user: w.b.id });
    const heard = await hear(
      w,
      `subscription ($id: ID!) { chatroomEvents(chatroomId: $id) {
        ... on ChatroomUpdated { actor { username } } ... on MessageAdded { message { body } } } }`,
      { id: w.group },
      async () => {
        await w.b.ask(update, { id: w.group, topic: 'by b' });
        await w.a.ask(update, { id: w.group, topic: 'by a' });
        await send(w.c, w.group, 'last');
      },
      (event) => event.message?.body === 'last',
    );
    const updates = heard.map((events) => events.filter((event) => 'actor' in event));
    expect(updates.map((events) => events.map(({ actor }) => actor?.username ?? null))).toEqual([
      [null, 'ann'],
      ['ben', 'ann'],
    ]);
  },
  'being seen by all': async (w) => {
    const seen = async (person: Person) => {
      const stream = person.connect().subscribe('subscription { messageSeen { message { body seenByAll } } }');
      await stream.ready();
      const message = await send(person, w.group, `of ${person.username}`);
      // Only c reads the message. A member behind a block does not count, so the message is seen by all.
      await w.c.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }', {
        id: message.id,
      });
      return (await stream.next()).message;
    };
    expect(await both(w, seen)).toEqual([
      { body: 'of ann', seenByAll: true },
      { body: 'of ben', seenByAll: true },
    ]);
  },
  pushes: async (w) => {
    for (const person of [w.a, w.b]) {
      await person.ask(
        'mutation ($token: String!) { registerPushDevice(input: { platform: FCM, token: $token }) { device { id } } }',
        { token: person.username },
      );
    }
    const pushed = () => w.fcm.pushes.map((push) => [fcmMessage(push).token, fcmMessage(push).notification.body]);
    await send(w.b, w.group, 'push of b');
    await send(w.a, w.group, 'push of a');
    await send(w.c, w.group, 'push of c');
    await expect.poll(pushed, { timeout: 20_000 }).toHaveLength(3);
    expect(pushed().sort()).toEqual([
      ['ann', 'eve: push of c'],
      ['ben', 'ann: push of a'],
      ['ben', 'eve: push of c'],
    ]);
  },
  'files of a group': async (w) => {
    const GALLERY = 'query ($id: ID!) { chatroom(id: $id) { attachments { nodes { fileName } } } }';
    const sent = [
      await sendFile(w.a, w.group, textFile('a', 'a.txt')),
      await sendFile(w.b, w.group, textFile('b', 'b.txt')),
    ];
    const urls = sent.map(({ attachments }) => attachments[0].url);
    const names = async (person: Person) =>
      (await person.ask(GALLERY, { id: w.group })).chatroom.attachments.nodes.map((file: any) => file.fileName);
    expect(await both(w, names)).toEqual([['a.txt'], ['b.txt', 'a.txt']]);
    const statuses = (person: Person) => Promise.all(urls.map(async (url) => (await get(person, url)).status));
    expect(await both(w, statuses)).toEqual([
      [200, 404],
      [200, 200],
    ]);
  },
  avatars: async (w) => {
    const SET = 'mutation ($id: ID!) { setAvatar(input: { attachmentId: $id }) { user { id } } }';
    for (const person of [w.a, w.b])
      await person.ask(SET, { id: (await attach(person, { ...PNG, purpose: 'AVATAR' })).id });
    const AVATAR = 'query ($name: String!) { user(username: $name) { avatar { url } } }';
    const status = async (person: Person, other: Person) => {
      const { user } = await person.ask(AVATAR, { name: other.username });
      return user.avatar && (await get(person, user.avatar.url)).status;
    };
    await expect.poll(() => both(w, status)).toEqual([200, 200]);
  },
};

/** Opens a stream for A and for B. Returns the events of each, up to the first one that satisfies `isLast`. */
async function hear(
  w: World,
  query: string,
  variables: object,
  act: () => Promise<void>,
  isLast: (event: any) => boolean,
) {
  const streams = [w.a, w.b].map((person) => person.connect().subscribe(query, variables));
  for (const stream of streams) await stream.ready();
  await act();
  return Promise.all(
    streams.map(async (stream) => {
      for (;;) if (isLast(await stream.next())) return stream.received;
    }),
  );
}

const table = readFileSync(new URL('../docs/blocks.md', import.meta.url), 'utf8');
const rows = [...table.matchAll(/^\| ([^|]+?) +\| .* \| .* \|$/gm)]
  .map(([, name = '']) => name)
  .filter((name) => name !== 'Row' && !/^-+$/.test(name));

describe('a block, row by row of the table', () => {
  test('every row of the table has exactly one check', () => {
    expect(rows.sort()).toEqual(Object.keys(checks).sort());
  });

  test.each(rows)('%s', async (row) => {
    await checks[row]?.(await blockedWorld());
  });

  test('unblocking restores visibility but not friendship', async () => {
    const w = await blockedWorld();
    await w.a.ask(target('unblockUser'), { id: w.b.id });
    expect(await bodies(w.a, w.group)).toEqual(['word of c', 'word of a', 'word of b']);
    expect((await w.a.ask('{ viewer { friends { nodes { id } } blockedUsers { nodes { id } } } }')).viewer).toEqual({
      friends: { nodes: [] },
      blockedUsers: { nodes: [] },
    });
    expect(await w.a.askForErrorCode(target('blockUser'), { id: w.a.id })).toBe('BAD_USER_INPUT');
    expect(await w.a.askForErrorCode(target('blockUser'), { id: w.group })).toBe('NOT_FOUND');
  });
});

test('replies, readers and reactions leave out a blocked user', async () => {
  const server = await startTestServer();
  const { ann: a, ben: b, eve: c } = await world(server);
  const group = await createRoom(c, { kind: 'GROUP', memberIds: [a.id, b.id] });
  const ofB = await send(b, group, 'word of b');
  const reply = await send(c, group, 'to b', { replyToId: ofB.id });
  await b.ask(MARK_READ, reply);
  await b.ask(REACT, reply);
  const SELECTION = `query ($id: ID!) { node(id: $id) { ... on Message { replyTo { body sender { username } } seenByAll seenBy { nodes { username } } reactions { count } } } }`;
  const look = async (person: Person) => (await person.ask(SELECTION, reply)).node;
  await a.ask(MARK_READ, reply);
  const whole = {
    replyTo: { body: 'word of b', sender: { username: 'ben' } },
    seenByAll: true,
    seenBy: { nodes: [{ username: 'ann' }, { username: 'ben' }] },
    reactions: [{ count: 1 }],
  };
  for (const person of [a, b, c]) expect(await look(person)).toEqual(whole);
  await a.ask(target('blockUser'), { id: b.id });
  expect(await look(a)).toEqual({
    replyTo: null,
    seenByAll: true,
    seenBy: { nodes: [{ username: 'ann' }] },
    reactions: [],
  });
  // B cannot tell that there is a block: ann only looks like a member who has not read the message.
  expect(await look(b)).toEqual({ ...whole, seenBy: { nodes: [{ username: 'ben' }] } });
  expect(await look(c)).toEqual(whole);
});
