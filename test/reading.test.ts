import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Person, signUp } from './support/client.ts';
import { DELETE_MESSAGE, createRoom, JOIN, MARK_READ } from './support/rooms.ts';
import { holdTransaction, startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const MARK = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { unreadCount viewerMembership { lastReadNumber } } viewer { unreadCount } } }`;
const UNREAD = `query ($id: ID!) { chatroom(id: $id) { unreadCount } viewer { unreadCount } }`;
const SEEN = `query ($id: ID!) { node(id: $id) { ... on Message { seenByAll seenBy { nodes { username } } } } }`;

const MARK_UNREAD = `mutation ($id: ID!) { markUnread(input: { messageId: $id }) { chatroom { unreadCount } viewer { unreadCount } } }`;
const MARK_ROOMS = `mutation ($ids: [ID!]!) { markRoomsRead(input: { messageIds: $ids }) { chatrooms { unreadCount } viewer { unreadCount } } }`;
const STATE = `query ($id: ID!) { chatroom(id: $id) { unreadCount viewerMembership { lastReadNumber } } }`;
const MEMBERS = `query ($id: ID!) { chatroom(id: $id) { members { nodes { lastReadNumber } } } }`;
const UNREAD_CHANGED = `subscription { viewerEvents { ... on UnreadChanged { unreadCount } } }`;

async function block(server: TestServer, blocker: Person, blocked: Person): Promise<void> {
  const key = ({ id }: Person) => Buffer.from(id, 'base64url').toString().split(':')[1] ?? '';
  await server.node.database.prisma.block.createMany({
    data: [{ blockerId: key(blocker), blockedId: key(blocked) }],
    skipDuplicates: true,
  });
}

const READ_STATE = `query ($id: ID!) { chatroom(id: $id) { unreadCount viewerMembership { lastReadNumber } messages { nodes { seenByAll } } } viewer { unreadCount } }`;
const readState = async (person: Person, id: string) => {
  const { chatroom, viewer } = await person.ask(READ_STATE, { id });
  return {
    unread: chatroom.unreadCount,
    total: viewer.unreadCount,
    mark: chatroom.viewerMembership.lastReadNumber,
    seen: chatroom.messages.nodes.map((message: any) => message.seenByAll),
  };
};

describe('reading', () => {
  test('moves the mark and its counts forward only', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const messages = [];
    for (const body of ['one', 'two', 'three']) messages.push(await send(ann, room, body));
    expect(await ben.ask(UNREAD, { id: room })).toEqual({ chatroom: { unreadCount: 3 }, viewer: { unreadCount: 3 } });
    expect(await ann.ask(UNREAD, { id: room })).toEqual({ chatroom: { unreadCount: 0 }, viewer: { unreadCount: 0 } });
    const { markRead } = await ben.ask(MARK, { id: messages[1].id });
    expect(markRead).toEqual({
      chatroom: { unreadCount: 1, viewerMembership: { lastReadNumber: 2 } },
      viewer: { unreadCount: 1 },
    });
    expect((await ben.ask(MARK, { id: messages[0].id })).markRead.chatroom.viewerMembership.lastReadNumber).toBe(2);
    expect(await eve.askForErrorCode(MARK, { id: messages[0].id })).toBe('NOT_FOUND');
    await send(ben, room, 'sending reads');
    expect((await ben.ask(UNREAD, { id: room })).chatroom.unreadCount).toBe(0);
  });

  test('counts every other member without a block in seenBy and seenByAll', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, {
      input: { kind: 'GROUP', memberIds: [ben.id, eve.id] },
    });
    const { id } = await send(ann, createChatroom.chatroom.id, 'hello');
    const seen = async () => (await ann.ask(SEEN, { id })).node;
    expect(await seen()).toEqual({ seenByAll: false, seenBy: { nodes: [] } });
    await ben.ask(MARK, { id });
    expect(await seen()).toEqual({ seenByAll: false, seenBy: { nodes: [{ username: 'ben' }] } });
    await eve.ask(MARK, { id });
    expect(await seen()).toEqual({ seenByAll: true, seenBy: { nodes: [{ username: 'ben' }, { username: 'eve' }] } });
    await block(server, ben, ann);
    expect(await seen()).toEqual({ seenByAll: true, seenBy: { nodes: [{ username: 'eve' }] } });
    await block(server, ann, eve);
    expect(await seen()).toEqual({ seenByAll: false, seenBy: { nodes: [] } });
  });

  test('can be undone by markUnread, only for the viewer', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const messages = [];
    for (const body of ['one', 'two', 'three']) messages.push(await send(ann, room, body));
    const [one, two, three] = messages;
    const events = ben.connect().subscribe(UNREAD_CHANGED);
    await events.ready();
    const stateOf = async () => {
      const { chatroom } = await ben.ask(STATE, { id: room });
      return [chatroom.unreadCount, chatroom.viewerMembership.lastReadNumber];
    };
    const seen = () => ann.ask(SEEN, { id: three.id }).then(({ node }) => node.seenByAll);
    await ben.ask(MARK_UNREAD, { id: two.id });
    // The message is already unread.
    expect([await stateOf(), await seen()]).toEqual([[3, 0], false]);
    await ben.ask(MARK, { id: three.id });
    expect(await events.next()).toEqual({ unreadCount: 0 });
    const { markUnread } = await ben.ask(MARK_UNREAD, { id: two.id });
    expect(markUnread).toEqual({ chatroom: { unreadCount: 2 }, viewer: { unreadCount: 2 } });
    expect(await events.next()).toEqual({ unreadCount: 2 });
    expect([await stateOf(), await seen()]).toEqual([[2, 1], true]);
    const asAnnSees = await ann.ask(MEMBERS, { id: room });
    expect(asAnnSees.chatroom.members.nodes.map((member: any) => member.lastReadNumber)).toEqual([3, 3]);
    // Moves the mark further back, forward by one, and to the end.
    await ben.ask(MARK_UNREAD, { id: one.id });
    expect(await stateOf()).toEqual([3, 0]);
    await ben.ask(MARK, { id: two.id });
    expect(await stateOf()).toEqual([1, 2]);
    await ben.ask(MARK, { id: one.id });
    expect(await stateOf()).toEqual([1, 2]);
    await ben.ask(MARK, { id: three.id });
    expect(await stateOf()).toEqual([0, 3]);
  });

  test('is implied by sending, which overrides markUnread', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { id } = await send(ann, room, 'one');
    await ben.ask(MARK, { id });
    await ben.ask(MARK_UNREAD, { id });
    await send(ben, room, 'two');
    expect((await ben.ask(UNREAD, { id: room })).chatroom.unreadCount).toBe(0);
    await ann.ask(MARK_UNREAD, { id });
    expect((await ann.ask(UNREAD, { id: room })).chatroom.unreadCount).toBe(1);
  });

  test('of a member whose row is locked delays no other member', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const { id } = await send(eve, await createRoom(eve, { kind: 'GROUP', memberIds: [ann.id, ben.id] }), 'one');
    const release = await holdTransaction(
      server,
      `SELECT FROM members m JOIN users u ON u.id = m.user_id WHERE u.username = 'ann' FOR UPDATE OF m`,
    );
    const marks = [ann, ben].map((reader) => reader.ask(MARK, { id }));
    const moved = { chatroom: { unreadCount: 0, viewerMembership: { lastReadNumber: 1 } }, viewer: { unreadCount: 0 } };
    expect((await marks[1]).markRead).toEqual(moved);
    await release();
    expect((await marks[0]).markRead).toEqual(moved);
  });

  test('of all rooms by markRoomsRead succeeds whole or not at all', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const ids: string[] = [(await send(ann, room, 'one')).id];
    for (let i = 0; i < 9; i += 1) {
      const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ben.id] } });
      await send(ann, createChatroom.chatroom.id, 'read');
      ids.push((await send(ann, createChatroom.chatroom.id, 'read too')).id);
      await send(ann, createChatroom.chatroom.id, 'unread');
    }
    const other = await eve.ask(CREATE_CHATROOM, { input: { kind: 'GROUP' } });
    const unseen = (await send(eve, other.createChatroom.chatroom.id, 'not for ben')).id;
    expect(await ben.askForErrorCode(MARK_ROOMS, { ids: [...ids, unseen] })).toBe('NOT_FOUND');
    for (const wrong of [[], Array.from({ length: 101 }, () => ids[0])])
      expect(await ben.askForErrorCode(MARK_ROOMS, { ids: wrong })).toBe('BAD_USER_INPUT');
    expect((await ben.ask(UNREAD, { id: room })).viewer.unreadCount).toBe(28);
    const counted = async (marked: string[]) => {
      server.statements();
      const { markRoomsRead } = await ben.ask(MARK_ROOMS, { ids: marked });
      return { ...markRoomsRead, statements: server.statements().length };
    };
    const first = await counted(ids.slice(0, 1));
    const others = await counted(ids.slice(1));
    expect(others.chatrooms.map((chatroom: any) => chatroom.unreadCount)).toEqual(Array(9).fill(1));
    expect(others.viewer.unreadCount).toBe(9);
    expect(others.statements).toBe(first.statements);
  });

  test('reduces unreadCount, which is exact up to 1,000', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    await send(ann, room, 'first');
    await server.node.database.query({
      text: `INSERT INTO messages (chatroom_id, number, seq, sender_id, body, created_at)
        SELECT chatroom_id, n, n, sender_id, 'x', now() FROM messages, generate_series(2, 1500) n`,
      values: [],
    } as never);
    expect(await ben.ask(UNREAD, { id: room })).toEqual({
      chatroom: { unreadCount: 1000 },
      viewer: { unreadCount: 1000 },
    });
    // Ben counts 10 of the newest 1,000 messages, and all 500 before them.
    await server.node.database.query({
      text: `UPDATE messages SET sender_id = (SELECT id FROM users WHERE username = 'eve')
        WHERE number > 500 AND number <= 1490`,
      values: [],
    } as never);
    await block(server, ben, eve);
    expect((await ben.ask(UNREAD, { id: room })).chatroom.unreadCount).toBe(510);
  });

  test('matches a model of unread counts (property)', { timeout: 120_000 }, async () => {
    const server = await startTestServer();
    const people = await Promise.all(['ann', 'ben', 'cem'].map((name) => signUp(server.url, name)));
    const person = (i: number) => people[i] as Person;
    const who = fc.nat({ max: 2 });
    const action = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const), who, which: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), who, which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('edit' as const), who, which: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), who, which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('block' as const), who, which: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('move' as const), who, which: fc.nat() }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
        await server.node.database.prisma.block.deleteMany();
        const { createChatroom } = await person(0).ask(CREATE_CHATROOM, {
          input: { kind: 'OPEN', name: 'Square', memberIds: [person(1).id, person(2).id] },
        });
        const room = createChatroom.chatroom.id;
        // The model: senders of messages (none for SYSTEM messages), deletions, read marks, blocks and memberships.
        const said: { id: string; by: number; gone: boolean }[] = [];
        const read = [0, 0, 0];
        const blocks = new Set<string>();
        const members = new Set([0, 1, 2]);
        const visible = (viewer: number, message: { by: number }) => !blocks.has(`${viewer} ${message.by}`);
        for (const { do: what, who: i, which } of actions) {
          const message = said[which % Math.max(said.length, 1)];
          if (what === 'move' && i > 0) {
            const deed = members.has(i) ? 'leave' : 'join';
            await person(i).ask(`mutation ($id: ID!) { ${deed}Chatroom(input: { chatroomId: $id }) { __typename } }`, {
              id: room,
            });
            said.push({ id: '', by: -1, gone: true });
            if (members.delete(i)) continue;
            members.add(i);
            read[i] = said.length;
          } else if (
            !members.has(i) ||
            (message && !members.has(message.by) && ['edit', 'delete', 'read'].includes(what))
          ) {
            continue;
          } else if (what === 'send') {
            said.push({ id: (await send(person(i), room, 'x')).id, by: i, gone: false });
            read[i] = said.length;
          } else if (what === 'block' && which % 3 !== i) {
            await block(server, person(i), person(which % 3));
            blocks.add(`${i} ${which % 3}`);
          } else if (message && what === 'read' && visible(i, message)) {
            await person(i).ask(MARK, { id: message.id });
            read[i] = Math.max(read[i] ?? 0, said.indexOf(message) + 1);
          } else if (message && what === 'edit' && !message.gone) {
            await person(message.by).ask(
              'mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "y" }) { message { id } } }',
              { id: message.id },
            );
          } else if (message && what === 'delete') {
            await person(message.by).ask(
              'mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }',
              { id: message.id },
            );
            message.gone = true;
          }
        }
        for (const viewer of [0, 1, 2]) {
          const expected = said.filter(
            (message, i) =>
              members.has(viewer) &&
              i >= (read[viewer] ?? 0) &&
              message.by !== viewer &&
              !message.gone &&
              visible(viewer, message),
          ).length;
          expect((await person(viewer).ask(UNREAD, { id: room })).chatroom.unreadCount).toBe(expected);
        }
      }),
      { numRuns: 25 },
    );
  });

  test('counts no SYSTEM, own, deleted or earlier messages as unread', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const open = await createRoom(ann, { kind: 'OPEN', name: 'Square' });
    await send(ann, open, 'alone');
    // No other member counts.
    expect((await readState(ann, open)).seen).toEqual([false]);
    await ben.ask(JOIN, { id: open });
    expect(await readState(ben, open)).toMatchObject({ unread: 0, total: 0, mark: 2 });
    // Joining marks all earlier messages as read.
    expect((await readState(ann, open)).seen[0]).toBe(true);
    await eve.ask(JOIN, { id: open });
    expect(await readState(ben, open)).toMatchObject({ unread: 0, mark: 2 });
    const first = await send(ann, open, 'first');
    await send(eve, open, 'second');
    expect(await readState(ben, open)).toMatchObject({ unread: 2, total: 2, mark: 2 });
    expect(await readState(eve, open)).toMatchObject({ unread: 0, mark: 5 });
    await ann.ask(DELETE_MESSAGE, first);
    expect(await readState(ben, open)).toMatchObject({ unread: 1, total: 1 });
    await send(ben, open, 'answer');
    expect(await readState(ben, open)).toMatchObject({ unread: 0, total: 0, mark: 6 });
    await ben.ask(MARK_READ, first);
    expect((await readState(ben, open)).mark).toBe(6);
  });
});
