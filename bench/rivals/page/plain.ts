// A chat page by hand, over Yoga, Pothos with its Prisma plugin, graphql-redis-subscriptions and graphql-ws.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import SchemaBuilder from '@pothos/core';
import PrismaPlugin from '@pothos/plugin-prisma';
import { PrismaPg } from '@prisma/adapter-pg';
import { RedisPubSub } from 'graphql-redis-subscriptions';
import { useServer } from 'graphql-ws/use/ws';
import { createYoga } from 'graphql-yoga';
import { Redis } from 'ioredis';
import { WebSocketServer } from 'ws';
import type PrismaTypes from '../generated/pothos.ts';
import { getDatamodel } from '../generated/pothos.ts';
import { PrismaClient } from '../generated/prisma/client.ts';
import { COUNT_UNREAD, MARK_READ, READ_BY_ALL, SENDERS } from './statements.js';

interface Context {
  userId: number;
}

const { DATABASE_URL, REDIS_URL } = process.env as Record<'DATABASE_URL' | 'REDIS_URL', string>;
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: DATABASE_URL, max: 10 }) });
const pubsub = new RedisPubSub({ publisher: new Redis(REDIS_URL), subscriber: new Redis(REDIS_URL) });
const builder = new SchemaBuilder<{ Context: Context; PrismaTypes: PrismaTypes }>({
  plugins: [PrismaPlugin],
  prisma: { client: prisma, dmmf: getDatamodel() },
});
/** Last message of each room that all members have read, as far as the senders know. Lost at a restart. */
const readByAll = new Map<number, bigint>();

const User = builder.prismaObject('User', {
  fields: (t) => ({ id: t.exposeID('id'), username: t.exposeString('username'), nickname: t.exposeString('nickname') }),
});
const Message = builder.prismaObject('Message', {
  fields: (t) => ({
    id: t.id({ resolve: (message) => String(message.id) }),
    body: t.exposeString('body'),
    createdAt: t.string({ resolve: (message) => message.createdAt.toISOString() }),
    sender: t.relation('sender'),
    seenByAll: t.boolean({
      async resolve({ roomId, senderId, id }) {
        const unread = { roomId, userId: { not: senderId }, lastRead: { lt: id } };
        return (await prisma.member.count({ where: unread })) === 0;
      },
    }),
  }),
});
builder.prismaObject('Member', {
  fields: (t) => ({ lastRead: t.string({ resolve: (member) => String(member.lastRead) }) }),
});

const memberOf = (roomId: number, { userId }: Context) =>
  prisma.member.findUniqueOrThrow({ where: { roomId_userId: { roomId, userId } } });

const Room = builder.prismaObject('Room', {
  fields: (t) => ({
    id: t.exposeID('id'),
    name: t.exposeString('name'),
    memberCount: t.relationCount('members'),
    unreadCount: t.int({ resolve: async ({ id }, _args, context) => (await memberOf(id, context)).unread }),
    viewerMembership: t.prismaField({
      type: 'Member',
      resolve: (query, { id: roomId }, _args, { userId }) =>
        prisma.member.findUniqueOrThrow({ ...query, where: { roomId_userId: { roomId, userId } } }),
    }),
    lastMessage: t.prismaField({
      type: 'Message',
      nullable: true,
      resolve: (query, { id: roomId }) =>
        prisma.message.findFirst({ ...query, where: { roomId }, orderBy: { id: 'desc' } }),
    }),
    messages: t.prismaField({
      type: ['Message'],
      args: { last: t.arg.int({ required: true }) },
      resolve: (query, { id: roomId }, { last }) =>
        prisma.message.findMany({ ...query, where: { roomId }, orderBy: { id: 'desc' }, take: last }),
    }),
  }),
});

const inRoom = (userId: number) => ({ members: { some: { userId } } });

builder.queryType({
  fields: (t) => ({
    rooms: t.prismaField({
      type: ['Room'],
      resolve: (query, _root, _args, { userId }) => prisma.room.findMany({ ...query, where: inRoom(userId), take: 50 }),
    }),
    room: t.prismaField({
      type: 'Room',
      args: { id: t.arg.int({ required: true }) },
      resolve: (query, _root, { id }, { userId }) =>
        prisma.room.findFirstOrThrow({ ...query, where: { id, ...inRoom(userId) } }),
    }),
  }),
});

async function publishSeen(room: number): Promise<void> {
  const [row] = await prisma.$queryRawUnsafe<{ upTo: bigint }[]>(READ_BY_ALL, room);
  const [upTo, before] = [row?.upTo ?? 0n, readByAll.get(room)];
  if (before !== undefined && upTo <= before) return;
  readByAll.set(room, upTo);
  if (before === undefined) return;
  const senders = await prisma.$queryRawUnsafe<{ senderId: number }[]>(SENDERS, room, before, upTo);
  for (const { senderId } of senders) await pubsub.publish(`seen:${room}:${senderId}`, { upTo: String(upTo) });
}

builder.mutationType({
  fields: (t) => ({
    sendMessage: t.prismaField({
      type: 'Message',
      args: { room: t.arg.int({ required: true }), body: t.arg.string({ required: true }) },
      async resolve(query, _root, { room, body }, context) {
        await memberOf(room, context);
        const data = { roomId: room, senderId: context.userId, body };
        const message = await prisma.message.create({ ...query, data });
        await prisma.$executeRawUnsafe(COUNT_UNREAD, room, context.userId);
        await pubsub.publish(`room:${room}`, { room, message: String(message.id) });
        return message;
      },
    }),
    markRead: t.boolean({
      args: { room: t.arg.int({ required: true }), message: t.arg.id({ required: true }) },
      async resolve(_root, { room, message }, { userId }) {
        const marked = await prisma.$queryRawUnsafe<object[]>(MARK_READ, room, userId, BigInt(message));
        if (marked.length === 0) return false;
        await pubsub.publish(`read:${userId}`, { room });
        await pubsub.publish(`marks:${room}`, { userId, lastRead: String(message) });
        await publishSeen(room);
        return true;
      },
    }),
  }),
});

interface MessageEvent {
  room: number;
  message: string;
}
const loadRoom = (query: object, { room }: { room: number }) =>
  prisma.room.findUniqueOrThrow({ ...query, where: { id: room } });
const loadMessage = (query: object, { message }: MessageEvent) =>
  prisma.message.findUniqueOrThrow({ ...query, where: { id: BigInt(message) } });

const MessageAdded = builder.objectRef<MessageEvent>('MessageAdded').implement({
  fields: (t) => ({
    room: t.prismaField({ type: Room, resolve: loadRoom }),
    message: t.prismaField({ type: Message, resolve: loadMessage }),
  }),
});
const UnreadChanged = builder.objectRef<{ room: number }>('UnreadChanged').implement({
  fields: (t) => ({ room: t.prismaField({ type: Room, resolve: loadRoom }) }),
});
/** Events of presence and typing. Nobody comes, goes or types in this benchmark, so that nothing publishes them. */
const UserEvent = builder.objectRef<{ userId: number }>('UserEvent').implement({
  fields: (t) => ({
    user: t.prismaField({
      type: User,
      resolve: (query, { userId }) => prisma.user.findUniqueOrThrow({ ...query, where: { id: userId } }),
    }),
  }),
});
const Seen = builder.objectRef<{ upTo: string }>('MessageSeen').implement({
  fields: (t) => ({ upTo: t.exposeString('upTo') }),
});
const ReadMark = builder.objectRef<{ userId: number; lastRead: string }>('ReadMark').implement({
  fields: (t) => ({ userId: t.exposeInt('userId'), lastRead: t.exposeString('lastRead') }),
});

/** Returns the topics of the viewer's rooms. A room that the viewer joins later is missing until they reconnect. */
const topicsOf = async (userId: number) =>
  (await prisma.member.findMany({ where: { userId } })).map(({ roomId }) => `room:${roomId}`);

async function follow<Event>(room: number, topic: string, context: Context): Promise<AsyncIterable<Event>> {
  await memberOf(room, context);
  return pubsub.asyncIterator<Event>(topic);
}

builder.subscriptionType({
  fields: (t) => ({
    messageAdded: t.field({
      type: MessageAdded,
      subscribe: async (_root, _args, { userId }) => pubsub.asyncIterator<MessageEvent>(await topicsOf(userId)),
      resolve: (event) => event as MessageEvent,
    }),
    unreadChanged: t.field({
      type: UnreadChanged,
      subscribe: async (_root, _args, { userId }) =>
        pubsub.asyncIterator<{ room: number }>([`read:${userId}`, ...(await topicsOf(userId))]),
      resolve: (event) => event as { room: number },
    }),
    presenceChanged: t.field({
      type: UserEvent,
      subscribe: (_root, _args, { userId }) => pubsub.asyncIterator<{ userId: number }>(`presence:${userId}`),
      resolve: (event) => event as { userId: number },
    }),
    roomMessageAdded: t.field({
      type: MessageAdded,
      args: { room: t.arg.int({ required: true }) },
      subscribe: (_root, { room }, context) => follow<MessageEvent>(room, `room:${room}`, context),
      resolve: (event) => event as MessageEvent,
    }),
    typingChanged: t.field({
      type: UserEvent,
      args: { room: t.arg.int({ required: true }) },
      subscribe: (_root, { room }, context) => follow<{ userId: number }>(room, `typing:${room}`, context),
      resolve: (event) => event as { userId: number },
    }),
    messageSeen: t.field({
      type: Seen,
      args: { room: t.arg.int({ required: true }) },
      subscribe: (_root, { room }, context) =>
        follow<{ upTo: string }>(room, `seen:${room}:${context.userId}`, context),
      resolve: (event) => event as { upTo: string },
    }),
    readMarksChanged: t.field({
      type: ReadMark,
      args: { room: t.arg.int({ required: true }) },
      subscribe: (_root, { room }, context) =>
        follow<{ userId: number; lastRead: string }>(room, `marks:${room}`, context),
      resolve: (event) => event as { userId: number; lastRead: string },
    }),
  }),
});

const schema = builder.toSchema();
const yoga = createYoga<object, Context>({
  schema,
  logging: false,
  context: ({ request }) => ({ userId: Number(request.headers.get('authorization')) }),
});
const server = createServer(yoga);
useServer(
  {
    schema,
    context: ({ connectionParams }) => ({ userId: Number(connectionParams?.['authorization']) }),
  },
  new WebSocketServer({ server, path: yoga.graphqlEndpoint }),
);

server.listen(0, '127.0.0.1', () => {
  console.log(`ready http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on('SIGTERM', () => process.exit(0));
