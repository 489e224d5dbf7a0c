import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import {
  isMember,
  memberKey,
  visibleChatroom,
  visibleChatrooms,
  visibleMember,
  visibleMembers,
  visibleTo,
} from '../src/features/chatrooms/chatrooms.ts';
import { isReadable, messageKey, visibleMessage, visibleMessages } from '../src/features/messages/messages.ts';
import { type Database, openDatabase, sql, type Sql } from '../src/platform/database/database.ts';
import { createTestDatabase } from './support/server.ts';
import './support/seed.ts';

const USERS = 4;
const WORLDS = 20;

const user = fc.nat({ max: USERS - 1 });
const users = fc.uniqueArray(user, { maxLength: USERS });
/** Senders need not be members: they may have left. Null stands for a deleted account and for SYSTEM messages. */
const message = fc.record({
  sender: fc.option(user),
  kind: fc.constantFrom('USER' as const, 'USER' as const, 'SYSTEM' as const),
  isDeleted: fc.boolean(),
});
const room = fc.record({
  kind: fc.constantFrom('DIRECT' as const, 'GROUP' as const, 'OPEN' as const),
  members: users,
  hiddenFrom: users,
  messages: fc.array(message, { maxLength: 5 }),
});
const world = fc.record({
  blocks: fc.uniqueArray(
    fc.tuple(user, user).filter(([a, b]) => a !== b),
    { maxLength: 6, selector: ([a, b]) => `${a} ${b}` },
  ),
  rooms: fc.array(room, { minLength: 1, maxLength: 5 }),
});
type World = typeof world extends fc.Arbitrary<infer Value> ? Value : never;

const roomIdOf = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;

async function store({ prisma, query }: Database, ids: string[], { blocks, rooms }: World): Promise<void> {
  const id = (i: number) => ids[i] ?? '';
  await query(sql`DELETE FROM chatrooms`);
  await query(sql`DELETE FROM blocks`);
  await prisma.block.createMany({ data: blocks.map(([a, b]) => ({ blockerId: id(a), blockedId: id(b) })) });
  await prisma.chatroom.createMany({
    data: rooms.map(({ kind }, i) => ({ id: roomIdOf(i), kind, directKey: kind === 'DIRECT' ? `${i}` : null })),
  });
  await prisma.member.createMany({
    data: rooms.flatMap(({ kind, members, hiddenFrom }, i) =>
      // A DIRECT room has at most two members: one if the other has deleted their account.
      members.slice(0, kind === 'DIRECT' ? 2 : USERS).map((member) => ({
        chatroomId: roomIdOf(i),
        userId: id(member),
        hiddenAtNumber: kind === 'DIRECT' && hiddenFrom.includes(member) ? 100 : null,
      })),
    ),
  });
  await prisma.message.createMany({
    data: rooms.flatMap(({ messages }, i) =>
      messages.map(({ sender, kind, isDeleted }, k) => ({
        chatroomId: roomIdOf(i),
        number: k + 1,
        seq: k + 1,
        kind,
        senderId: sender === null ? null : id(sender),
        body: isDeleted ? null : 'hello',
        deletedAt: isDeleted ? new Date() : null,
        createdAt: new Date(),
      })),
    ),
  });
}

/** How the rows of a model are found: by a condition in SQL, by a condition of Prisma Client, and as nodes by their keys. */
interface Model<Row> {
  keyOf: (row: Row) => string;
  select: (database: Database, condition: Sql) => Promise<Row[]>;
  condition: (viewer: string) => Sql;
  findMany: (database: Database, viewer: string) => Promise<Row[]>;
  findNode: (database: Database, key: string, viewer: string) => Promise<Row | null>;
}

const chatrooms: Model<{ id: string }> = {
  keyOf: ({ id }) => id,
  select: ({ query }, condition) => query(sql`SELECT id FROM chatrooms c WHERE ${condition}`),
  condition: (viewer) => visibleTo(sql`${viewer}::uuid`),
  findMany: ({ prisma }, viewer) => prisma.chatroom.findMany({ where: visibleChatrooms(viewer) }),
  findNode: ({ nodes }, id, viewer) => nodes.chatroom.findUnique({ where: visibleChatroom(id, viewer) }),
};

const members: Model<{ chatroomId: string; userId: string }> = {
  keyOf: memberKey,
  select: ({ query }, condition) =>
    query(sql`SELECT chatroom_id AS "chatroomId", user_id AS "userId" FROM members m WHERE ${condition}`),
  condition: (viewer) => isMember(sql`m.chatroom_id`, sql`${viewer}::uuid`),
  findMany: ({ prisma }, viewer) => prisma.member.findMany({ where: visibleMembers(viewer) }),
  findNode: ({ nodes }, key, viewer) => nodes.member.findUnique({ where: visibleMember(key, viewer) }),
};

const messages: Model<{ chatroomId: string; number: number }> = {
  keyOf: ({ chatroomId, number }) => messageKey(chatroomId, number),
  select: ({ query }, condition) =>
    query(sql`SELECT chatroom_id AS "chatroomId", number FROM messages m WHERE ${condition}`),
  condition: (viewer) => isReadable(sql`${viewer}::uuid`),
  findMany: ({ prisma }, viewer) => prisma.message.findMany({ where: visibleMessages(viewer) }),
  findNode: ({ nodes }, key, viewer) => nodes.message.findUnique({ where: visibleMessage(key, viewer) }),
};

/** Compares what each user sees. Returns the numbers of visible and hidden rows. */
async function compare<Row>(database: Database, model: Model<Row>, viewers: string[]) {
  const keys = (rows: (Row | null)[]) => rows.flatMap((row) => (row ? [model.keyOf(row)] : [])).sort();
  const all = keys(await model.select(database, sql`true`));
  let visible = 0;
  for (const viewer of viewers) {
    const bySql = keys(await model.select(database, model.condition(viewer)));
    expect(keys(await model.findMany(database, viewer))).toEqual(bySql);
    expect(keys(await Promise.all(all.map((key) => model.findNode(database, key, viewer))))).toEqual(bySql);
    visible += bySql.length;
  }
  return { visible, hidden: all.length * viewers.length - visible };
}

test.each([
  ['rooms', chatrooms],
  ['members', members],
  ['messages', messages],
])('Prisma and SQL show each user the same %s', async (_, model) => {
  const database = await openDatabase(await createTestDatabase());
  onTestFinished(() => database.close());
  const ids: string[] = [];
  for (let i = 0; i < USERS; i += 1) {
    const name = `user${i}`;
    const [added] = await database.query<{ id: string }>(sql`
      INSERT INTO users (username, username_key, username_skeleton, nickname, nickname_key, password_hash)
        VALUES (${name}, ${name}, ${name}, ${name}, ${name}, 'none') RETURNING id`);
    ids.push(added?.id ?? '');
  }
  const total = { visible: 0, hidden: 0 };
  await fc.assert(
    fc.asyncProperty(world, async (drawn) => {
      await store(database, ids, drawn);
      const { visible, hidden } = await compare(database, model as Model<unknown>, ids);
      total.visible += visible;
      total.hidden += hidden;
    }),
    { numRuns: WORLDS },
  );
  // Otherwise the property would also hold for predicates that select everything or nothing.
  expect(Math.min(total.visible, total.hidden)).toBeGreaterThan(50);
});
