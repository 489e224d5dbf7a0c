import { randomUUID } from 'node:crypto';
import { createRefreshToken, createToken } from '../../src/auth/tokens.ts';
import { sql } from '../../src/database/database.ts';
import type { MailPurpose } from '../../src/database/generated/enums.ts';
import { encodeId } from '../../src/ids.ts';
import { storeChatroom, storeMessages } from '../../src/import/store.ts';
import { connect, request } from '../support/client.ts';
import { subscribeBrowser } from '../support/providers.ts';
import { type Premises, PUSH_ORIGIN } from './premises.ts';
import type { Role } from './table.ts';

/** Somebody with an account. */
export interface Someone {
  key: string;
  sessionKey: string;
  id: string;
  username: string;
  email: string;
  accessToken: string;
  /** A message of theirs in the room; the member's for who was never in it. */
  said: string;
}

/** What a cell of the tables is asked in. */
export interface Place {
  premises: Premises;
  /** A GROUP room of the owner's. */
  room: string;
  /** Who asks. Whoever is signed out, and a service, have nothing to do with the room. */
  me: Someone;
  owner: Someone;
  /** An admin, never the one who asks. */
  admin: Someone;
  /** A member, never the one who asks. */
  member: Someone;
  /** A member whom the owner has blocked: the one who asks, where that is their role. */
  blocked: Someone;
  /** Never the one who asks, and in no room. */
  newcomer: Someone;
}

const BLOCK = `mutation ($user: ID!) { blockUser(input: { userId: $user }) { user { id } } }`;
const REMOVE = `mutation ($room: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $room, userId: $user }) { chatroom { id } } }`;

/** Makes a room with everybody in it, and makes of one of them who is to ask. */
export async function makePlace(premises: Premises, role: Role): Promise<Place> {
  const { url, node } = premises.server;
  const [owner, admin, member, blocked, newcomer, other] = await makePeople(premises);
  const me = { owner, blocked }[role as string] ?? other;
  const wasIn = ['removed', 'member', 'admin'].includes(role);
  const inside = [owner, admin, member, blocked, ...(wasIn ? [other] : [])];
  const admins = [admin, ...(role === 'admin' ? [other] : [])];
  const chatroomId = randomUUID();
  const createdAt = new Date();
  const said = { body: 'A word.', createdAt, clientMessageId: 'a word' };

  const memberIds = inside.map(({ key }) => key);
  await storeChatroom(node.database, { id: chatroomId, kind: 'GROUP', name: 'A room', memberIds, createdAt });
  await node.database.prisma.member.updateMany({
    where: { chatroomId, userId: { in: admins.map(({ key }) => key) } },
    data: { role: 'ADMIN' },
  });
  const messages = memberIds.map((senderId) => ({ senderId, ...said }));
  await storeMessages(node.database, chatroomId, messages);
  for (const person of [owner, admin, member, blocked, newcomer, other]) {
    const number = 1 + inside.indexOf(inside.includes(person) ? person : member);
    person.said = encodeId('Message', `${chatroomId}:${number}`);
  }
  const asked = [member, me].filter((person) => person !== owner);
  await node.database.prisma.friendRequest.createMany({
    data: asked.map(({ key }) => ({ fromId: owner.key, toId: key })),
  });

  // What sets the roles apart is done as people do it.
  const room = encodeId('Chatroom', chatroomId);
  const asOwner = async (query: string, variables: object) => {
    const { errors } = await request(url, query, variables, { authorization: `Bearer ${owner.accessToken}` });
    if (errors) throw new Error(JSON.stringify(errors));
  };
  await asOwner(BLOCK, { user: blocked.id });
  if (role === 'removed') await asOwner(REMOVE, { room, user: other.id });
  return { premises, room, me, owner, admin, member, blocked, newcomer };
}

/** Six people with one session each, in one statement, because six sign-ups for each cell would take longer than the cell. */
async function makePeople({ server: { node }, passwordHash }: Premises) {
  const keys = Array.from({ length: 6 }, () => randomUUID());
  const sessionKeys = keys.map(() => randomUUID());
  await node.database.query(sql`
    WITH made AS (
      INSERT INTO users (id, username, username_key, nickname, nickname_key, email, email_key, password_hash)
        SELECT id, n, n, n, n, n || '@example.org', n || '@example.org', ${passwordHash}
          FROM (SELECT id::uuid, left('u' || replace(id, '-', ''), 32) AS n FROM unnest(${keys}::text[]) id) named
        RETURNING id
    )
    INSERT INTO sessions (id, user_id) SELECT s.id, s.user_id
      FROM unnest(${sessionKeys}::uuid[], ${keys}::uuid[]) s (id, user_id) JOIN made ON made.id = s.user_id`);
  const people = keys.map(async (key, i): Promise<Someone> => {
    const sessionKey = sessionKeys[i] ?? '';
    const username = `u${key.replaceAll('-', '')}`.slice(0, 32);
    const { token: accessToken } = await node.accessTokens.sign(key, sessionKey);
    const email = `${username}@example.org`;
    return { key, sessionKey, id: encodeId('User', key), username, email, accessToken, said: '' };
  });
  return (await Promise.all(people)) as [Someone, Someone, Someone, Someone, Someone, Someone];
}

/** An OPEN room of the owner's, with nobody else in it. */
export async function openRoom({ premises: { server }, owner }: Place): Promise<string> {
  const room = { id: randomUUID(), kind: 'OPEN', name: 'Square', createdAt: new Date() } as const;
  const { id } = await storeChatroom(server.node.database, { ...room, memberIds: [owner.key] });
  return encodeId('Chatroom', id);
}

/** Another session of somebody's. */
export async function sessionOf({ premises: { server } }: Place, { key }: Someone): Promise<string> {
  const { id } = await server.node.database.prisma.session.create({ data: { userId: key } });
  return encodeId('Session', id);
}

/** A device of somebody's. */
export async function deviceOf({ premises: { server } }: Place, { key, sessionKey }: Someone): Promise<string> {
  const { hash: tokenHash } = createToken();
  const { id } = await server.node.database.prisma.pushDevice.create({
    data: {
      userId: key,
      sessionId: sessionKey,
      platform: 'WEB_PUSH',
      token: browser(),
      tokenHash: Uint8Array.from(tokenHash),
    },
  });
  return encodeId('PushDevice', id);
}

/** What a browser that has subscribed registers. */
export const browser = () => subscribeBrowser(PUSH_ORIGIN).token;

/** The membership of somebody in the room. */
export function membershipOf({ room }: Place, { key }: Someone): string {
  return encodeId('ChatroomMember', `${Buffer.from(room, 'base64url').toString().split(':')[1] ?? ''}:${key}`);
}

/** The request of one to be another's friend. */
export const requestBetween = (from: Someone, to: Someone) => encodeId('FriendRequest', `${from.key}:${to.key}`);

/** A refresh token of the session of whoever asks. */
export async function refreshToken({ premises: { server }, me }: Place): Promise<string> {
  const { token, hash, expiresAt } = createRefreshToken();
  await server.node.database.prisma.refreshToken.create({
    data: { hash: Uint8Array.from(hash), sessionId: me.sessionKey, expiresAt },
  });
  return token;
}

/** What a mail to whoever asks would bring. */
export async function mailToken({ premises: { server }, me }: Place, purpose: MailPurpose): Promise<string> {
  const { token, hash } = createToken();
  const expiresAt = new Date(Date.now() + 60_000);
  await server.node.database.prisma.mailToken.create({
    data: { hash: Uint8Array.from(hash), userId: me.key, purpose, emailKey: me.email, expiresAt },
  });
  return token;
}

/** Somebody opens a socket, and is there as long as the test. */
export async function comesOnline({ premises: { server } }: Place, { accessToken }: Someone): Promise<void> {
  await connect(server.url, accessToken).ask('{ __typename }');
}
