// Yoga, Pothos with its Prisma plugin, graphql-redis-subscriptions and graphql-ws, each as in its documentation.
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
import type PrismaTypes from './generated/pothos.ts';
import { getDatamodel } from './generated/pothos.ts';
import { PrismaClient } from './generated/prisma/client.ts';

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

builder.prismaObject('User', {
  fields: (t) => ({ id: t.exposeID('id'), username: t.exposeString('username'), nickname: t.exposeString('nickname') }),
});
builder.prismaObject('Message', {
  fields: (t) => ({
    id: t.id({ resolve: (message) => String(message.id) }),
    body: t.exposeString('body'),
    createdAt: t.string({ resolve: (message) => message.createdAt.toISOString() }),
    sender: t.relation('sender'),
  }),
});

const requireMember = (roomId: number, { userId }: Context) =>
  prisma.member.findUniqueOrThrow({ where: { roomId_userId: { roomId, userId } } });

builder.queryType({ fields: (t) => ({ ready: t.boolean({ resolve: () => true }) }) });
builder.mutationType({
  fields: (t) => ({
    sendMessage: t.prismaField({
      type: 'Message',
      args: { room: t.arg.int({ required: true }), body: t.arg.string({ required: true }) },
      async resolve(query, _root, { room, body }, context) {
        await requireMember(room, context);
        const data = { roomId: room, senderId: context.userId, body };
        const message = await prisma.message.create({ ...query, data });
        await pubsub.publish(`room:${room}`, { id: String(message.id) });
        return message;
      },
    }),
  }),
});
builder.subscriptionType({
  fields: (t) => ({
    messageAdded: t.prismaField({
      type: 'Message',
      args: { room: t.arg.int({ required: true }) },
      async subscribe(_root, { room }, context) {
        await requireMember(room, context);
        return pubsub.asyncIterator<{ id: string }>(`room:${room}`);
      },
      resolve: (query, event) =>
        prisma.message.findUniqueOrThrow({ ...query, where: { id: BigInt((event as { id: string }).id) } }),
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
