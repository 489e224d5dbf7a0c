import {
  getNamedType,
  getNullableType,
  type GraphQLField,
  type GraphQLInputType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { describe, expect, test } from 'vitest';
import { createServiceToken } from '../src/auth/serviceTokens.ts';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { storeFriendships, storeUsers } from '../src/cli/import/bulkInsert.ts';
import { derivedId } from '../src/core/globalIds.ts';
import { buildSchema } from '../src/features/schema.ts';
import { connect, PASSWORD, type Person, request, signUp } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, SEND, send, world } from './support/world.ts';

// Rules that hold for all of the schema are asked of all of the schema: what is new there and has no row here fails.

const schema = buildSchema();
const rootFields = (root: 'Query' | 'Mutation' | 'Subscription') =>
  Object.values((schema.getType(root) as ReturnType<typeof schema.getQueryType> & object).getFields());
const fieldsOf = (type: string) => {
  const found = schema.getType(type);
  if (!isObjectType(found)) throw new Error(`${type} is no object type.`);
  return Object.values(found.getFields());
};

type Root = 'query' | 'mutation' | 'subscription';
const roots = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' } as const;

/** What stands in for an argument whose value does not matter, as long as it keeps the rules. */
const harmless: Record<string, unknown> = {
  ...{ emoji: '👍', password: PASSWORD, newPassword: PASSWORD, email: 'nobody@example.org', query: 'word' },
  ...{ username: 'somebody', kind: 'GROUP' },
};

function valueFor(name: string, type: GraphQLInputType): unknown {
  const bare = getNullableType(type);
  if (Object.hasOwn(harmless, name)) return harmless[name];
  if (isListType(bare)) return [valueFor('', bare.ofType)];
  if (isEnumType(bare)) return bare.getValues()[0]?.name;
  if (isInputObjectType(bare)) {
    const needed = Object.values(bare.getFields()).filter(
      ({ type: of, defaultValue }) => isNonNullType(of) && defaultValue === undefined,
    );
    return Object.fromEntries(needed.map((field) => [field.name, valueFor(field.name, field.type)]));
  }
  return { Int: 1, Boolean: true }[bare.name] ?? 'x';
}

/** An operation that asks for one root field, and values for what it needs. */
function operation(
  root: Root,
  field: GraphQLField<unknown, unknown>,
): { query: string; variables: Record<string, any> } {
  const needed = field.args.filter(({ type }) => isNonNullType(type));
  const variables = Object.fromEntries(needed.map((arg) => [arg.name, valueFor(arg.name, arg.type)]));
  const declared = needed.map((arg) => `$${arg.name}: ${String(arg.type)}`).join(', ');
  const passed = needed.map((arg) => `${arg.name}: $${arg.name}`).join(', ');
  const query = `${root}${declared && ` (${declared})`} { ${field.name}${passed && `(${passed})`} { __typename } }`;
  return { query, variables };
}

/** The names of what one can put into a mutation's input. */
function inputNames(field: GraphQLField<unknown, unknown>): string[] {
  return field.args.flatMap((arg) => {
    const type = getNamedType(arg.type);
    return isInputObjectType(type) ? Object.keys(type.getFields()) : [arg.name];
  });
}

const mutationOf = (name: string) => {
  const field = rootFields('Mutation').find((mutation) => mutation.name === name);
  if (!field) throw new Error(`There is no mutation ${name}.`);
  return operation('mutation', field).query;
};

/** All mutations about a room or a message of it. */
const aboutRooms = rootFields('Mutation')
  .filter((field) => inputNames(field).some((name) => ['chatroomId', 'messageId', 'messageIds'].includes(name)))
  .map((field) => field.name)
  .sort();

const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[] | undefined)?.[0]?.extensions.code;

/** What comes of an operation: a code, or that it was done. */
async function outcome(asked: Promise<{ errors?: unknown }>): Promise<string> {
  const { errors } = await asked;
  return codeOf(errors) ?? 'done';
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const trying = (person: Person, query: string, variables: object) =>
  outcome(request(person.url, query, variables, bearer(person.accessToken)));

async function makeRoom(person: Person, input: object): Promise<string> {
  return (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
}

const RANK = `mutation ($id: ID!, $user: ID!, $role: MemberRole!) { setMemberRole(input: { chatroomId: $id, userId: $user, role: $role }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const JOIN = `mutation ($id: ID!) { joinChatroom(input: { chatroomId: $id }) { chatroom { id } } }`;
const LEAVE = `mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }`;
const END = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }`;
const TYPE = `mutation ($id: ID!) { setTyping(input: { chatroomId: $id, typing: true }) { ok } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;

/** A room that cem made with ann and ben, with a message of cem's and one of ann's. */
async function roomOfCem(cem: Person, ann: Person, ben: Person, kind = 'GROUP') {
  const id = await makeRoom(cem, { kind, name: 'A room', memberIds: [ann.id, ben.id] });
  return { id, ofCem: await send(cem, id, 'word of cem'), ofAnn: await send(ann, id, 'word of ann') };
}

type Room = Awaited<ReturnType<typeof roomOfCem>>;

/**
 * Two rooms that cem made alike. The first he still owns; from the second ann, to whom he handed it over, has removed him.
 * Eve is in neither.
 */
async function removedWorld(kind = 'GROUP') {
  const server = await startTestServer();
  const { ann, ben, eve } = await world(server);
  const [cem, dora] = [await signUp(server.url, 'cem'), await signUp(server.url, 'dora')];
  const [kept, lost] = [await roomOfCem(cem, ann, ben, kind), await roomOfCem(cem, ann, ben, kind)];
  await cem.ask(RANK, { id: lost.id, user: ann.id, role: 'OWNER' });
  await ann.ask(REMOVE, { id: lost.id, user: cem.id });
  return { server, ann, ben, cem, dora, eve, kept, lost };
}

type Removed = Awaited<ReturnType<typeof removedWorld>>;

/** How many things have happened in a room. */
const happened = ({ node }: TestServer, room: string) =>
  node.database.prisma.event.count({ where: { chatroomId: keyOf('Chatroom', room) ?? '' } });

describe('no stranger, no removed member and nobody without a token can do anything in a room', () => {
  const inputs: Record<string, (room: Room, w: Removed) => object> = {
    addChatroomMembers: ({ id }, { dora }) => ({ chatroomId: id, userIds: [dora.id] }),
    addReaction: ({ ofAnn }) => ({ messageId: ofAnn.id, emoji: '👍' }),
    deleteChatroom: ({ id }) => ({ chatroomId: id }),
    deleteMessage: ({ ofCem }) => ({ messageId: ofCem.id }),
    editMessage: ({ ofCem }) => ({ messageId: ofCem.id, body: 'another' }),
    joinChatroom: ({ id }) => ({ chatroomId: id }),
    leaveChatroom: ({ id }) => ({ chatroomId: id }),
    markRead: ({ ofAnn }) => ({ messageId: ofAnn.id }),
    markRoomsRead: ({ ofAnn }) => ({ messageIds: [ofAnn.id] }),
    markUnread: ({ ofAnn }) => ({ messageId: ofAnn.id }),
    removeChatroomMember: ({ id }, { ben }) => ({ chatroomId: id, userId: ben.id }),
    removeReaction: ({ ofAnn }) => ({ messageId: ofAnn.id, emoji: '👍' }),
    sendMessage: ({ id }) => ({ chatroomId: id, body: 'hello' }),
    sendSystemMessage: ({ id }) => ({ chatroomId: id, body: 'hello' }),
    setMemberRole: ({ id }, { ben }) => ({ chatroomId: id, userId: ben.id, role: 'ADMIN' }),
    setTyping: ({ id }) => ({ chatroomId: id, typing: true }),
    updateChatroom: ({ id }) => ({ chatroomId: id, name: 'Another name' }),
  };

  test('every mutation about a room or a message has a row here', () => {
    expect(aboutRooms).toEqual(Object.keys(inputs).sort());
  });

  test.each(aboutRooms)('%s', async (name) => {
    const w = await removedWorld();
    const query = mutationOf(name);
    const input = inputs[name] ?? (() => ({}));
    const { server, ann, cem, eve } = w;
    // The premise: cem may, in the room that is still his.
    const service = bearer(await createServiceToken(server.node.database, 'billing'));
    const mayDo = { input: input(w.kept, w) };
    if (name === 'sendSystemMessage') expect(await outcome(request(server.url, query, mayDo, service))).toBe('done');
    else if (name === 'joinChatroom') {
      const open = await makeRoom(ann, { kind: 'OPEN', name: 'Square' });
      expect(await trying(cem, query, { input: { chatroomId: open } })).toBe('done');
    } else expect(await trying(cem, query, mayDo)).toBe('done');

    const before = await happened(server, w.lost.id);
    const variables = { input: input(w.lost, w) };
    // Users never send system messages: what they ask for is not looked at.
    const refusal = name === 'sendSystemMessage' ? 'FORBIDDEN' : 'NOT_FOUND';
    expect(await outcome(request(server.url, query, variables))).toBe('UNAUTHENTICATED');
    expect(await outcome(connect(server.url).ask(query, variables))).toBe('UNAUTHENTICATED');
    for (const person of [eve, cem]) {
      expect(await trying(person, query, variables)).toBe(refusal);
      expect(await outcome(person.connect().ask(query, variables))).toBe(refusal);
    }
    expect(await happened(server, w.lost.id)).toBe(before);
    expect(
      await server.node.database.prisma.member.count({ where: { chatroomId: keyOf('Chatroom', w.lost.id) ?? '' } }),
    ).toBe(2);
  });

  test('who was removed cannot tell by a retry whether a message is there, nor answer one, nor come back', async () => {
    const { cem, ann, kept, lost } = await removedWorld();
    const again = { chatroomId: kept.id, body: 'again', clientMessageId: 'local 1' };
    for (const deduplicated of [false, true])
      expect((await cem.ask(SEND, { input: again })).sendMessage.deduplicated).toBe(deduplicated);
    expect((await send(cem, kept.id, 'an answer', { replyToId: kept.ofAnn.id })).number).toBe(4);
    await cem.ask(RANK, { id: kept.id, user: ann.id, role: 'OWNER' });
    await ann.ask(REMOVE, { id: kept.id, user: cem.id });
    expect(await cem.askForErrorCode(SEND, { input: again })).toBe('NOT_FOUND');
    expect(await cem.askForErrorCode(SEND, { input: { ...again, replyToId: kept.ofAnn.id } })).toBe('NOT_FOUND');
    // Nor from a room of his own.
    const own = await makeRoom(cem, { kind: 'GROUP' });
    expect(await cem.askForErrorCode(SEND, { input: { chatroomId: own, body: 'hi', replyToId: lost.ofAnn.id } })).toBe(
      'NOT_FOUND',
    );
    expect(await cem.askForErrorCode(JOIN, { id: kept.id })).toBe('NOT_FOUND');
  });
});

describe('what is in a room is there for its members', () => {
  /** For each field of a room: what a member gets, and what somebody gets who sees an OPEN room from outside. */
  const inside: Record<string, { ask?: string; outside: 'the same' | null | 0 }> = {
    id: { outside: 'the same' },
    kind: { outside: 'the same' },
    name: { outside: 'the same' },
    title: { outside: 'the same' },
    topic: { outside: 'the same' },
    createdAt: { outside: 'the same' },
    updatedAt: { outside: 'the same' },
    owner: { ask: 'owner { username }', outside: 'the same' },
    memberCount: { outside: 'the same' },
    lastMessageAt: { outside: 'the same' },
    opponent: { ask: 'opponent { username }', outside: 'the same' },
    unreadCount: { outside: 0 },
    viewerMembership: { ask: 'viewerMembership { role }', outside: null },
    cursor: { outside: null },
    lastMessage: { ask: 'lastMessage { body }', outside: null },
    members: { ask: 'members { nodes { user { username } } }', outside: null },
    message: { ask: 'message(number: 1) { body }', outside: null },
    messages: { ask: 'messages { nodes { body } }', outside: null },
    searchMessages: { ask: 'searchMessages(query: "word") { nodes { body } }', outside: null },
  };

  test('every field of a room has a row here', () => {
    expect(
      fieldsOf('Chatroom')
        .map((field) => field.name)
        .sort(),
    ).toEqual(Object.keys(inside).sort());
  });

  test('every field, in an OPEN room: strangers and removed members see what it is, and nothing of what is in it', async () => {
    const { server, ben, cem, eve, lost } = await removedWorld('OPEN');
    await ben.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }', lost.ofCem);
    const query = `query ($id: ID!) { chatroom(id: $id) { ${Object.entries(inside)
      .map(([name, { ask = name }]) => ask)
      .join(' ')} } }`;
    const { chatroom: seen } = await ben.ask(query, lost);
    expect(seen).toMatchObject({
      ...{ unreadCount: 1, memberCount: 2, viewerMembership: { role: 'MEMBER' }, message: { body: 'word of cem' } },
      ...{ searchMessages: { nodes: [{ body: 'word of ann' }, { body: 'word of cem' }] }, owner: { username: 'ann' } },
    });
    for (const name of Object.keys(inside))
      if (!['topic', 'opponent'].includes(name)) expect(seen[name], name).not.toBeNull();
    for (const person of [cem, eve]) {
      const { chatroom } = await person.ask(query, lost);
      for (const [name, { outside }] of Object.entries(inside))
        expect(chatroom[name], `${name} for ${person.username}`).toEqual(outside === 'the same' ? seen[name] : outside);
    }
    expect(await outcome(request(server.url, query, lost))).toBe('UNAUTHENTICATED');
    // Whoever joins sees all of it.
    await eve.ask(JOIN, lost);
    expect((await eve.ask(query, lost)).chatroom.searchMessages).toEqual(seen.searchMessages);
  });

  /** Every way from Query to a room that is not open, or to something in it. What a lookup does not find is null. */
  const LOOKUPS = `query ($room: ID!, $message: ID!, $member: ID!, $ids: [ID!]!, $user: ID!) {
    chatroom(id: $room) { id } node(id: $room) { id } aMessage: node(id: $message) { id } aMember: node(id: $member) { id }
    nodes(ids: $ids) { id }
    viewer { chatroomWith(userId: $user) { id } chatrooms { nodes { id } } searchMessages(query: "word") { nodes { id } } unreadCount }
    openChatrooms(search: "A room") { nodes { id } } }`;

  test.each(['GROUP', 'DIRECT'])(
    'a %s room, its messages and its members do not exist for strangers, by any path, and lookups answer null without an error',
    async (kind) => {
      const server = await startTestServer();
      const { ann, ben, eve } = await world(server);
      const room = await makeRoom(ann, {
        kind,
        memberIds: [ben.id],
        ...(kind === 'GROUP' ? { name: 'A room of two' } : {}),
      });
      const { id: message } = await send(ann, room, 'word');
      const { chatroom } = await ben.ask('query ($id: ID!) { chatroom(id: $id) { members { nodes { id } } } }', {
        id: room,
      });
      const member = chatroom.members.nodes[0].id;
      const variables = { room, message, member, ids: [room, message, member], user: ann.id };
      const found = await ben.ask(LOOKUPS, variables);
      expect(found).toMatchObject({
        ...{ chatroom: { id: room }, node: { id: room }, aMessage: { id: message }, aMember: { id: member } },
        ...{ nodes: [{ id: room }, { id: message }, { id: member }], openChatrooms: { nodes: [] } },
        viewer: {
          searchMessages: { nodes: [{ id: message }] },
          unreadCount: 1,
          chatroomWith: kind === 'DIRECT' ? { id: room } : null,
        },
      });
      expect(await eve.ask(LOOKUPS, variables)).toEqual({
        ...{
          chatroom: null,
          node: null,
          aMessage: null,
          aMember: null,
          nodes: [null, null, null],
          openChatrooms: { nodes: [] },
        },
        viewer: { chatroomWith: null, chatrooms: { nodes: [] }, searchMessages: { nodes: [] }, unreadCount: 0 },
      });
      // The answer is that for what has never been.
      const uuid = crypto.randomUUID();
      const invented = (type: string, key = uuid) => Buffer.from(`${type}:${key}`).toString('base64url');
      const nothing = {
        room: invented('Chatroom'),
        message: invented('Message', `${uuid}:1`),
        member: invented('ChatroomMember', `${uuid}:${uuid}`),
        user: invented('User'),
      };
      expect(await eve.ask(LOOKUPS, { ...nothing, ids: [nothing.room, nothing.message, nothing.member] })).toEqual(
        await eve.ask(LOOKUPS, variables),
      );
      expect(await outcome(request(server.url, LOOKUPS, variables))).toBe('UNAUTHENTICATED');
      expect(await eve.ask('{ user(username: "nobody") { id } }')).toEqual({ user: null });
    },
  );

  test('a removed member finds nothing of the room any more, by any path', async () => {
    const { cem, kept, lost } = await removedWorld();
    const member = async (person: Person, { id }: Room) =>
      (await person.ask('query ($id: ID!) { chatroom(id: $id) { viewerMembership { id } } }', { id })).chatroom
        .viewerMembership.id;
    const ask = (room: Room, memberId: string) =>
      cem.ask(LOOKUPS, {
        room: room.id,
        message: room.ofCem.id,
        member: memberId,
        ids: [room.ofAnn.id],
        user: room.id,
      });
    const mine = await member(cem, kept);
    expect(await ask(kept, mine)).toMatchObject({
      chatroom: { id: kept.id },
      aMessage: { id: kept.ofCem.id },
      nodes: [{ id: kept.ofAnn.id }],
    });
    // His own messages too.
    const [, there] = Buffer.from(mine, 'base64url')
      .toString()
      .split(/:(?=[^:]+$)/);
    const gone = Buffer.from(`ChatroomMember:${keyOf('Chatroom', lost.id)}:${there}`).toString('base64url');
    expect(await ask(lost, gone)).toMatchObject({
      ...{ chatroom: null, node: null, aMessage: null, aMember: null, nodes: [null] },
      viewer: {
        chatrooms: { nodes: [{ id: kept.id }] },
        searchMessages: { nodes: [{ id: kept.ofAnn.id }, { id: kept.ofCem.id }] },
      },
    });
  });
});

describe('streams of a room are for its members', () => {
  /** For each stream of a room: what is asked, and what makes the first event of it for ann, who wrote the last message. */
  const streams: Record<string, { ask: string; cause: (w: Removed) => Promise<unknown> }> = {
    messageAdded: { ask: 'message { number }', cause: ({ ann, lost }) => send(ann, lost.id, 'live') },
    chatroomEvents: { ask: '__typename', cause: ({ ann, lost }) => send(ann, lost.id, 'live') },
    messageSeen: {
      ask: 'message { number }',
      async cause({ ann, ben, lost }) {
        await ann.ask(READ, await send(ben, lost.id, 'live'));
      },
    },
    readMarksChanged: {
      ask: 'members { id }',
      async cause({ ann, ben, lost }) {
        await ann.ask(READ, await send(ben, lost.id, 'live'));
      },
    },
    typingChanged: { ask: 'typing', cause: ({ ann, lost }) => ann.ask(TYPE, lost) },
  };
  const all = rootFields('Subscription')
    .filter((field) => field.args.some((arg) => arg.name === 'chatroomId'))
    .map((field) => field.name);
  const streamOf = (name: string) =>
    `subscription ($id: ID!) { ${name}(chatroomId: $id) { ${streams[name]?.ask ?? ''} } }`;

  test('every stream of a room has a row here', () => {
    expect(all.sort()).toEqual(Object.keys(streams).sort());
  });

  /** Opens a stream as SSE; answers what it has brought when it has ended. */
  async function openSse(url: string, query: string, variables: object, token?: string) {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        ...(token === undefined ? {} : bearer(token)),
      },
      body: JSON.stringify({ query, variables }),
    });
    const read = async () =>
      [...(await response.text()).matchAll(/event: (\w+)\n(?:data:(.*)\n)?/g)].map(([, event = '', data = '']) => ({
        event,
        result: data.trim() === '' ? null : JSON.parse(data),
      }));
    return { events: read() };
  }

  test.each(all)(
    '%s: refused to strangers, removed members and nobody; a member who is removed gets its end with NOT_FOUND',
    async (name) => {
      const w = await removedWorld();
      const { server, ann, ben, cem, eve, lost } = w;
      const query = streamOf(name);
      const opened = [ben, ben.at(server.url)].map((person) => person.connect().subscribe(query, lost));
      const sse = await openSse(server.url, query, lost, ben.accessToken);
      await expect.poll(() => server.node.gauges.streams).toBe(3);
      // The premise: a member gets what comes.
      await streams[name]?.cause(w);
      for (const stream of opened) await stream.next();

      for (const person of [eve, cem]) {
        expect(codeOf(await person.connect().subscribe(query, lost).ended)).toBe('NOT_FOUND');
        const { events } = await openSse(server.url, query, lost, person.accessToken);
        expect((await events).map(({ event, result }) => [event, codeOf(result?.errors)])).toEqual([
          ['next', 'NOT_FOUND'],
          ['complete', undefined],
        ]);
        // A room that is not there is the same.
        expect(codeOf(await person.connect().subscribe(query, { id: 'junk' }).ended)).toBe('NOT_FOUND');
      }
      expect(codeOf(await connect(server.url).subscribe(query, lost).ended)).toBe('UNAUTHENTICATED');
      const { events: signedOut } = await openSse(server.url, query, lost);
      expect((await signedOut).map(({ result }) => codeOf(result?.errors))).toEqual(['UNAUTHENTICATED', undefined]);

      await ann.ask(REMOVE, { id: lost.id, user: ben.id });
      await streams[name]?.cause({ ...w, ben: ann });
      for (const stream of opened) {
        expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
        expect(JSON.stringify(stream.received.slice(1))).not.toContain('live');
      }
      const told = (await sse.events).map(({ event, result }) => [event, codeOf(result?.errors)]);
      expect(told.slice(-2)).toEqual([
        ['next', 'NOT_FOUND'],
        ['complete', undefined],
      ]);
      expect(told.slice(0, -2).every(([event, code]) => event === 'next' && code === undefined)).toBe(true);
    },
  );

  test.each([
    ['is removed', (w: Removed) => w.ann.ask(REMOVE, { id: w.lost.id, user: w.ben.id })],
    ['leaves', (w: Removed) => w.ben.ask(LEAVE, w.lost)],
    ['was in a room that is deleted', (w: Removed) => w.ann.ask(END, w.lost)],
  ])(
    'who %s: streams over all rooms go on without the room, and viewerEvents says ChatroomVanished',
    async (_, lose) => {
      const w = await removedWorld();
      const { ben, ann, kept, lost } = w;
      const connection = ben.connect();
      const messages = connection.subscribe('subscription { messageAdded { chatroom { id } message { body } } }');
      const seen = connection.subscribe('subscription { messageSeen { message { body } } }');
      const events = connection.subscribe(
        'subscription { viewerEvents { __typename ... on ChatroomVanished { chatroomId } } }',
      );
      await events.ready();
      await send(ann, lost.id, 'before');
      expect(await messages.next()).toEqual({ chatroom: { id: lost.id }, message: { body: 'before' } });
      expect((await events.next()).__typename).toBe('UnreadChanged');
      await lose(w);
      expect(await events.next()).toEqual({ __typename: 'ChatroomVanished', chatroomId: lost.id });
      await trying(ann, SEND, { input: { chatroomId: lost.id, body: 'after' } });
      const { id } = await send(ben, kept.id, 'elsewhere');
      for (const person of [ann, w.cem]) await person.ask(READ, { id });
      expect((await messages.next()).message.body).toBe('elsewhere');
      expect(await seen.next()).toEqual({ message: { body: 'elsewhere' } });
    },
  );
});

describe('a block, for every mutation about a room or a message', () => {
  /**
   * What comes of it for the two whom a block parts: in the DIRECT room of both, the same for either side; and for whoever
   * blocked, and whoever is blocked, with the other's message in a GROUP, where it is about one.
   */
  const across: Record<string, { direct: string; blocker?: string; blocked?: string }> = {
    addChatroomMembers: { direct: 'BAD_USER_INPUT' },
    addReaction: { direct: 'BLOCKED', blocker: 'NOT_FOUND', blocked: 'done' },
    deleteChatroom: { direct: 'done' },
    deleteMessage: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'FORBIDDEN' },
    editMessage: { direct: 'BLOCKED', blocker: 'NOT_FOUND', blocked: 'FORBIDDEN' },
    joinChatroom: { direct: 'NOT_FOUND' },
    leaveChatroom: { direct: 'BAD_USER_INPUT' },
    markRead: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'done' },
    markRoomsRead: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'done' },
    markUnread: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'done' },
    removeChatroomMember: { direct: 'BAD_USER_INPUT' },
    removeReaction: { direct: 'BLOCKED', blocker: 'NOT_FOUND', blocked: 'done' },
    sendMessage: { direct: 'BLOCKED', blocker: 'done', blocked: 'done' },
    sendSystemMessage: { direct: 'FORBIDDEN' },
    setMemberRole: { direct: 'BAD_USER_INPUT' },
    setTyping: { direct: 'done', blocker: 'done', blocked: 'done' },
    updateChatroom: { direct: 'BAD_USER_INPUT' },
  };

  test('each has a row here', () => {
    expect(aboutRooms).toEqual(Object.keys(across).sort());
  });

  test.each(aboutRooms)('%s', async (name) => {
    const server = await startTestServer();
    const { ann: a, ben: b, eve: c } = await world(server);
    const direct = await makeRoom(a, { kind: 'DIRECT', memberIds: [b.id] });
    const group = await makeRoom(c, { kind: 'GROUP', memberIds: [a.id, b.id] });
    const said = async (room: string) =>
      new Map([
        [a, (await send(a, room, 'of a')).id as string],
        [b, (await send(b, room, 'of b')).id as string],
      ]);
    const [inDirect, inGroup] = [await said(direct), await said(group)];
    const owned = ['deleteMessage', 'editMessage'].includes(name);
    const query = mutationOf(name);
    const inputOf = (room: string, other: Person, messageId: string | undefined): object => {
      const field = rootFields('Mutation').find((mutation) => mutation.name === name);
      const all: Record<string, unknown> = {
        ...{
          chatroomId: room,
          messageId,
          messageIds: [messageId],
          userId: other.id,
          userIds: [c.id],
          role: 'ADMIN',
          emoji: '👍',
          body: 'x',
        },
        ...{ typing: true, name: 'Us' },
      };
      const taken = inputNames(field as GraphQLField<unknown, unknown>).filter((key) => Object.hasOwn(all, key));
      // Of the three targets of a system message one is named.
      return Object.fromEntries(
        taken.filter((key) => name !== 'sendSystemMessage' || key !== 'userId').map((key) => [key, all[key]]),
      );
    };
    const both = async (room: string, messages: Map<Person, string>, own: boolean) => {
      const outcomes = [];
      for (const [person, other] of [
        [a, b],
        [b, a],
      ] as const)
        outcomes.push(await trying(person, query, { input: inputOf(room, other, messages.get(own ? person : other)) }));
      return outcomes;
    };
    const row = across[name];
    const { direct: inPrivate = '', blocker, blocked } = row ?? {};
    // The premise: before the block nobody is blocked, and the other's messages are there.
    const may = inPrivate === 'BLOCKED' ? 'done' : inPrivate;
    if (name !== 'deleteMessage') expect(await both(direct, inDirect, owned)).toEqual([may, may]);
    if (blocked !== undefined) expect(await both(group, inGroup, false)).toEqual([blocked, blocked]);
    await a.ask(BLOCK, { id: b.id });
    expect(await both(direct, inDirect, owned)).toEqual([inPrivate, inPrivate]);
    if (blocked !== undefined) expect(await both(group, inGroup, false)).toEqual([blocker, blocked]);
  });

  test('a friend request between the two ends, from either side, and friendship does not come back with unblocking', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const ASKED =
      '{ viewer { friendRequests { nodes { from { username } } } outgoing: friendRequests(direction: OUTGOING) { nodes { to { username } } } } }';
    for (const person of [ann, ben])
      await person.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
    for (const [blocker, blocked] of [
      [ann, ben],
      [ben, ann],
    ] as const) {
      expect((await ann.ask(FRIEND, { id: ben.id })).addFriend.status).toBe('PENDING');
      expect((await eve.ask(FRIEND, { id: ben.id })).addFriend.status).toBe('PENDING');
      expect((await ben.ask(ASKED)).viewer.friendRequests.nodes).toHaveLength(2);
      await blocker.ask(BLOCK, { id: blocked.id });
      expect((await ben.ask(ASKED)).viewer.friendRequests.nodes).toEqual([{ from: { username: 'eve' } }]);
      expect((await ann.ask(ASKED)).viewer.outgoing.nodes).toEqual([]);
      expect(
        await ben.askForErrorCode('mutation ($id: ID!) { acceptFriend(input: { userId: $id }) { status } }', {
          id: ann.id,
        }),
      ).toBe('NOT_FOUND');
      await blocker.ask('mutation ($id: ID!) { unblockUser(input: { userId: $id }) { viewer { id } } }', {
        id: blocked.id,
      });
      expect((await ben.ask(ASKED)).viewer.friendRequests.nodes).toHaveLength(1);
    }
  });

  test('what a message answers, who spoke last and who has read are told without the one whom the viewer blocked', async () => {
    const server = await startTestServer();
    const { ann: a, ben: b, eve: c } = await world(server);
    const group = await makeRoom(c, { kind: 'GROUP', memberIds: [a.id, b.id] });
    const ofB = await send(b, group, 'word of b');
    const answer = await send(c, group, 'to b', { replyToId: ofB.id });
    await b.ask(READ, answer);
    await b.ask(REACT, answer);
    const LOOK = `query ($id: ID!) { node(id: $id) { ... on Message { replyTo { body sender { username } } seenByAll seenBy { nodes { username } } reactions { count } } } }`;
    const look = async (person: Person) => (await person.ask(LOOK, answer)).node;
    await a.ask(READ, answer);
    const whole = {
      replyTo: { body: 'word of b', sender: { username: 'ben' } },
      seenByAll: true,
      seenBy: { nodes: [{ username: 'ann' }, { username: 'ben' }] },
      reactions: [{ count: 1 }],
    };
    for (const person of [a, b, c]) expect(await look(person)).toEqual(whole);
    await a.ask(BLOCK, { id: b.id });
    expect(await look(a)).toEqual({
      replyTo: null,
      seenByAll: true,
      seenBy: { nodes: [{ username: 'ann' }] },
      reactions: [],
    });
    // B is told of no block: only that ann's reading is no news to him any more, as for whoever has not read.
    expect(await look(b)).toEqual({ ...whole, seenBy: { nodes: [{ username: 'ben' }] } });
    expect(await look(c)).toEqual(whole);
  });
});

describe('signed out', () => {
  const open: Record<Root, string[]> = {
    query: ['server', 'viewer'],
    mutation: [
      'refreshSession',
      'requestPasswordReset',
      'resetPassword',
      'signIn',
      'signInWithIdToken',
      'signUp',
      'verifyEmail',
    ],
    subscription: [],
  };

  test.each(['query', 'mutation', 'subscription'] as const)(
    'every %s but those that are open is UNAUTHENTICATED, over HTTP and WebSocket; for who is signed in none is',
    async (root) => {
      const server = await startTestServer();
      const ann = await signUp(server.url, 'ann');
      const socket = connect(server.url);
      const closed = rootFields(roots[root])
        .filter((field) => !open[root].includes(field.name))
        // The last one to ask for.
        .sort((a, b) => Number(a.name === 'signOut') - Number(b.name === 'signOut'));
      expect(closed.length + open[root].length).toBe(rootFields(roots[root]).length);
      const outcomes = await Promise.all(
        closed.map(async (field) => {
          const { query, variables } = operation(root, field);
          const asked = [socket.ask(query, variables)];
          if (root !== 'subscription') asked.push(request(server.url, query, variables));
          return [field.name, await Promise.all(asked.map(outcome))] as const;
        }),
      );
      const refused = root === 'subscription' ? ['UNAUTHENTICATED'] : ['UNAUTHENTICATED', 'UNAUTHENTICATED'];
      expect(Object.fromEntries(outcomes)).toEqual(Object.fromEntries(closed.map(({ name }) => [name, refused])));
      for (const field of closed) {
        const { query, variables } = operation(root, field);
        const own = ann.connect();
        const stream = root === 'subscription' ? own.subscribe(query, variables) : null;
        const answer = stream
          ? Promise.race([stream.ended.then(codeOf), stream.ready()])
          : outcome(own.ask(query, variables));
        expect(await answer, query).not.toBe('UNAUTHENTICATED');
      }
    },
  );

  test('what is open answers, and gives nothing away', async () => {
    const { url } = await startTestServer();
    const ann = await signUp(url, 'ann');
    expect((await request(url, '{ viewer { id } server { version } }')).data).toMatchObject({
      viewer: null,
      server: {},
    });
    const codes = Object.fromEntries(
      await Promise.all(
        rootFields('Mutation')
          .filter((field) => open.mutation.includes(field.name))
          .map(async (field) => {
            const { query, variables } = operation('mutation', field);
            return [field.name, await outcome(request(url, query, variables))] as const;
          }),
      ),
    );
    expect(codes).toEqual({
      ...{
        signUp: 'done',
        requestPasswordReset: 'done',
        signIn: 'INVALID_CREDENTIALS',
        signInWithIdToken: 'INVALID_CREDENTIALS',
      },
      ...{ refreshSession: 'BAD_USER_INPUT', resetPassword: 'BAD_USER_INPUT', verifyEmail: 'BAD_USER_INPUT' },
    });
    const REFRESH =
      'mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { viewer { user { username } } } }';
    expect((await request(url, REFRESH, { token: ann.refreshToken })).data.refreshSession.viewer.user.username).toBe(
      'ann',
    );
  });
});

describe('ids', () => {
  /** Which type an argument names, by how it is called. */
  const typeOf: Record<string, string> = {
    ...{
      chatroomId: 'Chatroom',
      messageId: 'Message',
      messageIds: 'Message',
      replyToId: 'Message',
      userId: 'User',
      userIds: 'User',
    },
    ...{ memberIds: 'User', sessionId: 'Session', deviceId: 'PushDevice' },
  };

  test('are unique over all types, and one of another type, a changed one and none at all are NOT_FOUND to every mutation that takes one', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await ben.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
    await ann.ask(FRIEND, { id: ben.id });
    const message = await send(ann, room, 'hello');
    const { viewer } =
      await ann.ask(`{ viewer { id user { id } sessions { nodes { id } } chatrooms { nodes { id viewerMembership { id } } }
      friendRequests(direction: OUTGOING) { nodes { id } } } }`);
    const ids: Record<string, string> = {
      ...{
        Viewer: viewer.id,
        User: viewer.user.id,
        Session: viewer.sessions.nodes[0].id,
        Chatroom: room,
        Message: message.id,
      },
      ...{
        ChatroomMember: viewer.chatrooms.nodes[0].viewerMembership.id,
        FriendRequest: viewer.friendRequests.nodes[0].id,
      },
      PushDevice: Buffer.from(`PushDevice:${crypto.randomUUID()}`).toString('base64url'),
    };
    const nodeTypes = schema.getPossibleTypes(schema.getType('Node') as never).map((type) => type.name);
    expect(Object.keys(ids).sort()).toEqual(nodeTypes.sort());
    expect(new Set(Object.values(ids)).size).toBe(nodeTypes.length);

    const taking = rootFields('Mutation').filter((field) =>
      inputNames(field).some((name) => /Ids?$/.test(name) && name !== 'clientMessageId'),
    );
    expect(taking.length).toBeGreaterThan(15);
    for (const field of taking) {
      const { query, variables } = operation('mutation', field);
      const names = inputNames(field).filter((name) => /Ids?$/.test(name) && name !== 'clientMessageId');
      for (const name of names) {
        const type = typeOf[name];
        if (type === undefined) throw new Error(`${field.name} takes ${name}: of which type?`);
        const wrong = Object.entries(ids).flatMap(([other, id]) => (other === type ? [] : [id]));
        const right = ids[type] ?? '';
        for (const id of [...wrong, `${right}=`, right.toLowerCase(), '', 'junk', '\0']) {
          const value = name.endsWith('s') ? [id] : id;
          // What else is named is there.
          const others = names.filter((other) => other !== name && Object.hasOwn(variables['input'], other));
          const rest = Object.fromEntries(
            others.map((other) => [other, other.endsWith('s') ? [ids[typeOf[other] ?? '']] : ids[typeOf[other] ?? '']]),
          );
          const input = {
            ...variables['input'],
            ...(name === 'replyToId' ? { chatroomId: room } : rest),
            [name]: value,
          };
          expect(await trying(ann, query, { input }), `${field.name} of ${name} ${JSON.stringify(id)}`).toBe(
            field.name === 'sendSystemMessage' ? 'FORBIDDEN' : 'NOT_FOUND',
          );
        }
      }
    }
    // All is as it was.
    expect(
      (
        await ann.ask('query ($id: ID!) { chatroom(id: $id) { memberCount messages { nodes { body } } } }', {
          id: room,
        })
      ).chatroom,
    ).toEqual({
      memberCount: 2,
      messages: { nodes: [{ body: 'hello' }] },
    });
  });
});

describe('connections', () => {
  /** How to come to the fields of each type that has lists. */
  const ways: Record<string, (field: string) => string> = {
    Query: (field) =>
      `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } of: node(id: $message) { id } ${field} }`,
    Viewer: (field) =>
      `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } of: node(id: $message) { id } viewer { ${field} } }`,
    Chatroom: (field) =>
      `query ($room: ID!, $message: ID!) { of: node(id: $message) { id } chatroom(id: $room) { ${field} } }`,
    Message: (field) =>
      `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } node(id: $message) { ... on Message { ${field} } } }`,
    ReactionGroup: (field) =>
      `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } node(id: $message) { ... on Message { reactions { ${field} } } } }`,
  };
  const lists = Object.values(schema.getTypeMap()).flatMap((type) =>
    isObjectType(type) && !type.name.startsWith('__')
      ? Object.values(type.getFields()).flatMap((field) =>
          getNamedType(field.type).name.endsWith('Connection') ? [[type.name, field] as const] : [],
        )
      : [],
  );

  /** Ann has 25 of everything that is listed. */
  async function plenty() {
    const server = await startTestServer();
    const { database } = server.node;
    const ann = await signUp(server.url, 'ann');
    const me = keyOf('User', ann.id) ?? '';
    const crowd = (name: string) =>
      Array.from({ length: 25 }, (_, i) => ({
        id: derivedId('rules', `${name} ${i}`),
        name: `${name}${i}`,
        suffix: 'x',
      }));
    const [friends, asking, blocked] = [crowd('friend'), crowd('asking'), crowd('blocked')];
    await storeUsers(database, [...friends, ...asking, ...blocked]);
    await storeFriendships(
      database,
      friends.map(({ id }) => [me, id] as const),
    );
    await database.prisma.friendRequest.createMany({ data: asking.map(({ id }) => ({ fromId: id, toId: me })) });
    await database.prisma.block.createMany({ data: blocked.map(({ id }) => ({ blockerId: me, blockedId: id })) });
    await database.prisma.session.createMany({ data: asking.map(() => ({ userId: me })) });
    let room = '';
    for (let i = 0; i < 25; i += 1) room = await makeRoom(ann, { kind: 'OPEN', name: `Room ${i}` });
    await ann.ask(ADD, { id: room, users: friends.map(({ id }) => Buffer.from(`User:${id}`).toString('base64url')) });
    for (let i = 0; i < 25; i += 1) await send(ann, room, `word ${i}`);
    const { id: message } = await send(ann, room, 'word for all');
    await database.query(sql`UPDATE members SET last_read_number = 1000 WHERE user_id <> ${me}::uuid`);
    await database.query(sql`
      INSERT INTO reactions (chatroom_id, number, user_id, emoji)
        SELECT m.chatroom_id, c.last_number, m.user_id, '👍' FROM members m JOIN chatrooms c ON c.id = m.chatroom_id
          WHERE c.id = ${keyOf('Chatroom', room)}::uuid AND m.user_id <> ${me}::uuid`);
    return { ann, variables: { room, message } };
  }

  test(
    'every list follows the Relay cursor specification: 20 by default, at most 100; forwards and backwards give the same, each once; what else is asked for is BAD_USER_INPUT by name',
    { timeout: 60_000 },
    async () => {
      const { ann, variables } = await plenty();
      expect(lists.map(([type, { name }]) => `${type}.${name}`).sort()).toEqual([
        ...[
          'Chatroom.members',
          'Chatroom.messages',
          'Chatroom.searchMessages',
          'Message.seenBy',
          'Query.openChatrooms',
          'Query.users',
          'ReactionGroup.users',
        ],
        ...[
          'Viewer.blockedUsers',
          'Viewer.chatrooms',
          'Viewer.friendRequests',
          'Viewer.friends',
          'Viewer.searchMessages',
          'Viewer.sessions',
        ],
      ]);
      for (const [type, { name }] of lists) {
        const listed = `${type}.${name}`;
        const asking = (args: object) => {
          const all = { ...(name === 'searchMessages' ? { query: 'word' } : {}), ...args };
          const given = Object.entries(all)
            .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
            .join(', ');
          return (
            ways[type]?.(
              `list: ${name}${given && `(${given})`} { edges { cursor node { __typename id } } nodes { id } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } }`,
            ) ?? ''
          );
        };
        const ask = async (args: object) => {
          const data = await ann.ask(asking(args), variables);
          return (data.list ??
            data.viewer?.list ??
            data.chatroom?.list ??
            data.node?.list ??
            data.node?.reactions[0].list) as {
            edges: { cursor: string; node: { id: string } }[];
            nodes: { id: string }[];
            pageInfo: { startCursor: string; endCursor: string; hasNextPage: boolean; hasPreviousPage: boolean };
          };
        };
        const usual = await ask({});
        expect(usual.nodes.length, listed).toBe(20);
        expect(usual.edges.map(({ node }) => node.id)).toEqual(usual.nodes.map(({ id }) => id));
        expect(usual.pageInfo, listed).toEqual({
          ...{ startCursor: usual.edges[0]?.cursor, endCursor: usual.edges[19]?.cursor },
          ...{ hasNextPage: true, hasPreviousPage: false },
        });
        const whole = (await ask({ first: 100 })).nodes.map(({ id }) => id);
        expect(whole.length, listed).toBeGreaterThanOrEqual(25);
        expect(new Set(whole).size).toBe(whole.length);
        const forwards: string[] = [];
        for (let after: string | undefined, more = true; more;) {
          const { nodes, pageInfo } = await ask({ first: 7, ...(after === undefined ? {} : { after }) });
          forwards.push(...nodes.map(({ id }) => id));
          ({ endCursor: after, hasNextPage: more } = pageInfo);
        }
        const backwards: string[] = [];
        for (let before: string | undefined, more = true; more;) {
          const { nodes, pageInfo } = await ask({ last: 7, ...(before === undefined ? {} : { before }) });
          backwards.unshift(...nodes.map(({ id }) => id));
          ({ startCursor: before, hasPreviousPage: more } = pageInfo);
        }
        expect([forwards, backwards], listed).toEqual([whole, whole]);
        for (const [path, args] of [
          ...([0, -1, 101].flatMap((size) => [
            ['first', { first: size }],
            ['last', { last: size }],
          ]) as [string, object][]),
          ['last', { first: 1, last: 1 }],
          ['after', { after: 'junk' }],
          ['before', { before: 'junk' }],
          ['after', { after: '' }],
          // A cursor of another list.
          [
            'after',
            {
              after:
                name === 'members'
                  ? (await ann.ask('{ users { edges { cursor } } }')).users.edges[0].cursor
                  : 'WyJtZW1iZXJzIiwiMjAyNi0wMS0wMVQwMDowMDowMC4wMDBaIiwieCJd',
            },
          ],
        ] as [string, object][]) {
          const { errors } = await request(ann.url, asking(args), variables, bearer(ann.accessToken));
          expect(errors?.[0]?.extensions, `${listed} ${JSON.stringify(args)}`).toEqual({
            code: 'BAD_USER_INPUT',
            path: [path],
          });
        }
      }
    },
  );
});

describe('accounts', () => {
  test('an access token is good for 15 minutes at most, and a refresh token is 256 bits of which a hash is stored', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const { iat, exp } = JSON.parse(Buffer.from(ann.accessToken.split('.')[1] ?? '', 'base64url').toString());
    expect(exp - iat).toBeGreaterThan(60);
    expect(exp - iat).toBeLessThanOrEqual(15 * 60);
    expect(Buffer.from(ann.refreshToken, 'base64url')).toHaveLength(32);
    const stored = await server.node.database.query<{ row: string }>(
      sql`SELECT row_to_json(t)::text AS row FROM refresh_tokens t`,
    );
    expect(stored).toHaveLength(1);
    const raw = Buffer.from(ann.refreshToken, 'base64url');
    for (const spelling of [ann.refreshToken, raw.toString('hex'), raw.toString('base64')])
      expect(stored[0]?.row).not.toContain(spelling);
  });

  test('a wrong name takes as long as a wrong password', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'off' }, hashCost: undefined });
    await signUp(url, 'ann');
    const SIGN_IN =
      'mutation ($name: String!) { signIn(input: { usernameOrEmail: $name, password: "not the password" }) { accessToken } }';
    const times: Record<string, number[]> = { ann: [], nobody: [], 'nobody@example.org': [] };
    for (let i = 0; i < 9; i += 1)
      for (const [name, took] of Object.entries(times)) {
        const began = performance.now();
        expect(await outcome(request(url, SIGN_IN, { name }))).toBe('INVALID_CREDENTIALS');
        took.push(performance.now() - began);
      }
    const median = (name: string) => times[name]?.toSorted((a, b) => a - b)[4] ?? 0;
    for (const name of ['nobody', 'nobody@example.org']) expect(median(name)).toBeGreaterThan(median('ann') / 2);
  });

  test('a flood of sign-ins does not stop the rest: passwords are hashed two at a time', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'off' }, hashCost: undefined });
    const ann = await signUp(url, 'ann');
    const SIGN_IN =
      'mutation { signIn(input: { usernameOrEmail: "ann", password: "not the password" }) { accessToken } }';
    const order: string[] = [];
    const flood = Array.from({ length: 60 }, () => request(url, SIGN_IN).then(() => order.push('sign-in')));
    await ann.ask('{ viewer { id } }').then(() => order.push('query'));
    await Promise.all(flood);
    // It did not wait for them.
    expect(order.indexOf('query')).toBeLessThan(30);
  });

  test('with an account go its sessions, devices, friendships, requests, blocks, reactions and memberships, and nothing else', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { prisma, query } = server.node.database;
    const [annKey, benKey, eveKey] = [ann, ben, eve].map(({ id }) => keyOf('User', id) ?? '');
    if (!annKey || !benKey || !eveKey) throw new Error('They have no keys.');
    await ann.ask(FRIEND, { id: ben.id });
    const cem = await signUp(server.url, 'cem');
    await cem.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
    await ann.ask(FRIEND, { id: cem.id });
    await ann.ask(BLOCK, { id: eve.id });
    await ben.ask(BLOCK, { id: eve.id });
    await ann.ask(REACT, await send(ben, room, 'from ben'));
    await send(ann, room, 'from ann');
    const { sessionId } = await server.node.accessTokens.verify(ann.accessToken);
    await query(sql`INSERT INTO push_devices (user_id, session_id, platform, token, token_hash)
      VALUES (${annKey}::uuid, ${sessionId}::uuid, 'FCM', 'the phone', 'x')`);
    const count = () =>
      Promise.all([
        ...[prisma.session.count({ where: { userId: annKey } }), prisma.pushDevice.count(), prisma.friendship.count()],
        ...[prisma.friendRequest.count(), prisma.block.count(), prisma.reaction.count(), prisma.member.count()],
        ...[
          prisma.refreshToken.count(),
          prisma.user.count(),
          prisma.message.count({ where: { senderId: null, kind: 'USER' } }),
        ],
      ]);
    expect(await count()).toEqual([1, 1, 2, 1, 2, 1, 2, 4, 4, 0]);
    expect(
      await ben.askForErrorCode('mutation { deleteAccount(input: { password: "not the password" }) { ok } }'),
    ).toBe('INVALID_CREDENTIALS');
    await ann.ask(`mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`);
    expect(await count()).toEqual([0, 0, 0, 0, 1, 0, 1, 3, 3, 1]);
    expect((await ben.ask('{ viewer { blockedUsers { nodes { username } } } }')).viewer.blockedUsers.nodes).toEqual([
      { username: 'eve' },
    ]);
  });

  test('what only the viewer may see of an account, nobody else does, by any path', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    await ann.ask(FRIEND, { id: ben.id });
    await ann.ask(
      `mutation { updateProfile(input: { email: "ann@example.org", currentPassword: "${PASSWORD}" }) { viewer { id } } }`,
    );
    const { viewer } = await ann.ask('{ viewer { id email sessions { nodes { id } } } }');
    expect(viewer.email).toBe('ann@example.org');
    const ids = [viewer.id, viewer.sessions.nodes[0].id];
    const NODES = 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename } }';
    expect((await ann.ask(NODES, { ids })).nodes).toEqual([{ __typename: 'Viewer' }, { __typename: 'Session' }]);
    expect((await ben.ask(NODES, { ids })).nodes).toEqual([null, null]);
    // What others see of her has no place for it.
    const shown = fieldsOf('User').map((field) => field.name);
    expect(shown.filter((name) => /mail|password|token|session|device|policy|address|unread/i.test(name))).toEqual([]);
    expect(
      await ben.ask('{ users(search: "ann@example") { nodes { username } } user(username: "ann@example.org") { id } }'),
    ).toEqual({
      users: { nodes: [] },
      user: null,
    });
  });
});

describe('rooms', () => {
  test('the owner who leaves hands the room to the longest-standing admin, before any member', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const cem = await signUp(server.url, 'cem');
    for (const person of [eve, cem]) await ann.ask(ADD, { id: room, users: [person.id] });
    for (const person of [cem, eve]) await ann.ask(RANK, { id: room, user: person.id, role: 'ADMIN' });
    await ann.ask(LEAVE, { id: room });
    const ROLES =
      'query ($id: ID!) { chatroom(id: $id) { owner { username } members { nodes { role user { username } } } } }';
    const { chatroom } = await ben.ask(ROLES, { id: room });
    expect(chatroom.owner.username).toBe('eve');
    expect(chatroom.members.nodes.map((member: any) => [member.user.username, member.role])).toEqual([
      ['ben', 'MEMBER'],
      ['eve', 'OWNER'],
      ['cem', 'ADMIN'],
    ]);
    expect(await ben.askForErrorCode(END, { id: room })).toBe('FORBIDDEN');
    expect(await ann.askForErrorCode(LEAVE, { id: room })).toBe('NOT_FOUND');
  });

  test('what one’s role does not allow in a room that one sees is FORBIDDEN; in one that one does not see it is NOT_FOUND', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    for (const [query, variables] of [
      [END, { id: room }],
      [REMOVE, { id: room, user: ann.id }],
      [RANK, { id: room, user: ben.id, role: 'OWNER' }],
      [ADD, { id: room, users: [eve.id] }],
      [ADD, { id: room, users: ['junk'] }],
    ] as const) {
      expect(await ben.askForErrorCode(query, variables)).toBe('FORBIDDEN');
      expect(await eve.askForErrorCode(query, variables)).toBe('NOT_FOUND');
    }
    const open = await makeRoom(ann, { kind: 'OPEN', name: 'Square' });
    // Who sees an OPEN room and is no member has no role in it at all.
    expect(await eve.askForErrorCode(END, { id: open })).toBe('NOT_FOUND');
    expect(await eve.askForErrorCode(SEND, { input: { chatroomId: open, body: 'hi' } })).toBe('NOT_FOUND');
    await eve.ask(JOIN, { id: open });
    expect(await eve.askForErrorCode(END, { id: open })).toBe('FORBIDDEN');
    expect((await send(eve, open, 'hi')).number).toBe(2);
  });
});

describe('reading', () => {
  const LOOK = `query ($id: ID!) { chatroom(id: $id) { unreadCount viewerMembership { lastReadNumber } messages { nodes { seenByAll } } } viewer { unreadCount } }`;
  const look = async (person: Person, id: string) => {
    const { chatroom, viewer } = await person.ask(LOOK, { id });
    return {
      unread: chatroom.unreadCount,
      total: viewer.unreadCount,
      mark: chatroom.viewerMembership.lastReadNumber,
      seen: chatroom.messages.nodes.map((message: any) => message.seenByAll),
    };
  };

  test('joining sets the mark to the last number; neither SYSTEM messages, nor one’s own, nor deleted ones are unread; sending marks as read', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const open = await makeRoom(ann, { kind: 'OPEN', name: 'Square' });
    await send(ann, open, 'alone');
    // Nobody else counts.
    expect((await look(ann, open)).seen).toEqual([false]);
    await ben.ask(JOIN, { id: open });
    expect(await look(ben, open)).toMatchObject({ unread: 0, total: 0, mark: 2 });
    // He who came later has read what was before him, as far as anybody can tell.
    expect((await look(ann, open)).seen[0]).toBe(true);
    await eve.ask(JOIN, { id: open });
    expect(await look(ben, open)).toMatchObject({ unread: 0, mark: 2 });
    const first = await send(ann, open, 'first');
    await send(eve, open, 'second');
    expect(await look(ben, open)).toMatchObject({ unread: 2, total: 2, mark: 2 });
    expect(await look(eve, open)).toMatchObject({ unread: 0, mark: 5 });
    await ann.ask(DELETE, first);
    expect(await look(ben, open)).toMatchObject({ unread: 1, total: 1 });
    await send(ben, open, 'answer');
    expect(await look(ben, open)).toMatchObject({ unread: 0, total: 0, mark: 6 });
    await ben.ask(READ, first);
    expect((await look(ben, open)).mark).toBe(6);
  });
});

describe('presence', () => {
  test('a new socket is told of at most 100 friends, by name', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const me = keyOf('User', ann.id) ?? '';
    const friends = Array.from({ length: 103 }, (_, i) => ({
      id: derivedId('rules', `friend ${i}`),
      name: `friend${1000 + i}`,
      suffix: 'x',
    }));
    await storeUsers(server.node.database, friends);
    await storeFriendships(
      server.node.database,
      friends.map(({ id }) => [me, id] as const),
    );
    const leaving = await Promise.all(friends.map(({ id }) => server.node.presence.enter(id, 1)));
    expect(leaving.every((leave) => leave !== null)).toBe(true);
    const { client } = ann.connect();
    const told = await new Promise<any>((resolve) => client.on('connected', (_socket, payload) => resolve(payload)));
    expect(told.onlineFriends.map((friend: any) => friend.username)).toEqual(
      friends.slice(0, 100).map(({ name }) => name),
    );
    for (const leave of leaving) leave?.();
  });
});

describe('errors', () => {
  test('have a code that the schema knows and a sentence; BAD_USER_INPUT says of which argument; the same over WebSocket', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const known = (await ann.ask('{ server { errorCodes } }')).server.errorCodes;
    const message = await send(ann, room, 'hello');
    const cases: [string, object, string[]][] = [
      [SEND, { input: { chatroomId: room, body: ' ' } }, ['input', 'body']],
      [SEND, { input: { chatroomId: room, body: 'x'.repeat(10_001) } }, ['input', 'body']],
      [SEND, { input: { chatroomId: room, body: 'x', clientMessageId: '' } }, ['input', 'clientMessageId']],
      [CREATE_CHATROOM, { input: { kind: 'OPEN' } }, ['input', 'name']],
      [CREATE_CHATROOM, { input: { kind: 'GROUP', topic: 'x'.repeat(501) } }, ['input', 'topic']],
      [mutationOf('addReaction'), { input: { messageId: message.id, emoji: 'x' } }, ['input', 'emoji']],
      [mutationOf('updateProfile'), { input: { nickname: ' ' } }, ['input', 'nickname']],
      [
        mutationOf('changePassword'),
        { input: { currentPassword: PASSWORD, newPassword: 'short' } },
        ['input', 'newPassword'],
      ],
      ['query ($s: String) { users(search: $s) { nodes { id } } }', { s: 'x'.repeat(101) }, ['search']],
      ['query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: Array(101).fill('x') }, ['ids']],
    ];
    const socket = ann.connect();
    for (const [query, variables, path] of cases) {
      const { errors } = await request(server.url, query, variables, bearer(ann.accessToken));
      expect(errors?.[0]?.extensions, query).toEqual({ code: 'BAD_USER_INPUT', path });
      expect(known).toContain('BAD_USER_INPUT');
      expect(errors?.[0]?.message).toMatch(/^[A-Z].+[.]$/);
      const overSocket = await socket.ask(query, variables);
      expect(overSocket.errors?.[0]).toMatchObject({
        message: errors?.[0]?.message,
        extensions: errors?.[0]?.extensions,
      });
    }
    // The longest that is allowed is.
    expect((await send(ann, room, ` ${'x'.repeat(10_000)} `)).number).toBe(2);
  });
});
