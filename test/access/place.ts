import { createHash, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { createRefreshToken, createToken } from '../../src/auth/accessTokens.ts';
import { sql } from '../../src/platform/database/database.ts';
import type { MailPurpose } from '../../src/platform/database/generated/enums.ts';
import { encodeId, keyOf } from '../../src/core/globalIds.ts';
import { storeChatroom, storeMessages } from '../../src/cli/import/bulkInsert.ts';
import { connect, request } from '../support/client.ts';
import { subscribeBrowser } from '../support/providers.ts';
import { type Premises, PUSH_ORIGIN } from './premises.ts';
import type { Role } from './table.ts';

/** A user with an account. */
export interface Someone {
  key: string;
  sessionKey: string;
  id: string;
  username: string;
  email: string;
  accessToken: string;
  /** A message of this user in the room; for a user who was never in the room, a message of the member. */
  said: string;
}

/** The setting of one cell of the tables. */
export interface Place {
  premises: Premises;
  /** A GROUP room that the owner created. */
  room: string;
  /** The user who makes the request. For a signed-out client or a service, a user without access to the room. */
  me: Someone;
  owner: Someone;
  /** An admin other than `me`. */
  admin: Someone;
  /** A member other than `me`. */
  member: Someone;
  /** A member whom the owner has blocked. Equals `me` in the role "blocked". */
  blocked: Someone;
  /** A user other than `me`, in no room. */
  newcomer: Someone;
}

const BLOCK = `mutation ($user: ID!) { blockUser(input: { userId: $user }) { user { id } } }`;
const REMOVE = `mutation ($room: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $room, userId: $user }) { chatroom { id } } }`;

/** Creates a room with everyone in it, and selects `me` by role. */
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

  // Creates the differences between the roles through the API.
  const room = encodeId('Chatroom', chatroomId);
  const asOwner = async (query: string, variables: object) => {
    const { errors } = await request(url, query, variables, { authorization: `Bearer ${owner.accessToken}` });
    if (errors) throw new Error(JSON.stringify(errors));
  };
  await asOwner(BLOCK, { user: blocked.id });
  if (role === 'removed') await asOwner(REMOVE, { room, user: other.id });
  return { premises, room, me, owner, admin, member, blocked, newcomer };
}

/** Creates six users with one session each, in one statement. Six sign-ups per cell would take longer than the cell. */
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

/** Creates an OPEN room of the owner without other members. Returns its id. */
export async function openRoom({ premises: { server }, owner }: Place): Promise<string> {
  const room = { id: randomUUID(), kind: 'OPEN', name: 'Square', createdAt: new Date() } as const;
  const { id } = await storeChatroom(server.node.database, { ...room, memberIds: [owner.key] });
  return encodeId('Chatroom', id);
}

/**
 * Creates a link preview of a message, or of a user who has not sent it.
 *
 * @returns the ids of the preview and of the message, as `removeLinkPreview` takes them
 */
export async function previewOf({ premises: { server } }: Place, of: Someone, isSent = true) {
  const { id: pageId } = await storePage(server);
  const [chatroomId = '', number] = keyOf('Message', of.said)?.split(':') ?? [];
  const owner = isSent ? { chatroomId, number: Number(number), position: 1 } : { userId: of.key };
  const { id } = await server.node.database.prisma.linkPreview.create({ data: { pageId, ...owner } });
  return { messageId: of.said, linkPreviewId: encodeId('LinkPreview', id) };
}

/** Stores a page as if a node had just requested it. */
export const storePage = ({ node }: Premises['server']) =>
  node.database.prisma.webPage.create({ data: { url: `https://example.org/${randomUUID()}`, title: 'A page' } });

/** Creates another session of a user. Returns its id. */
export async function sessionOf({ premises: { server } }: Place, { key }: Someone): Promise<string> {
  const { id } = await server.node.database.prisma.session.create({ data: { userId: key } });
  return encodeId('Session', id);
}

/** Creates a bot of a user. Returns its user id. */
export async function botOf({ premises: { server } }: Place, { key }: Someone): Promise<string> {
  const name = `b${randomUUID().replaceAll('-', '').slice(0, 30)}`;
  const names = { username: name, usernameKey: name, nickname: name, nicknameKey: name };
  const { id } = await server.node.database.prisma.user.create({ data: { ...names, isBot: true } });
  await server.node.database.prisma.bot.create({ data: { userId: id, ownerId: key, scopes: ['messages:read'] } });
  return encodeId('User', id);
}

/** Creates an incoming webhook of the room. Returns its id. */
export async function webhookOf({ premises: { server }, room }: Place): Promise<string> {
  const chatroomId = keyOf('Chatroom', room) ?? '';
  const tokenHash = Uint8Array.from(createToken().hash);
  const { id } = await server.node.database.prisma.incomingWebhook.create({
    data: { chatroomId, name: 'Builds', tokenHash },
  });
  return encodeId('IncomingWebhook', id);
}

/** Registers a device of a user. Returns its id. */
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

/** Returns the subscription that a browser registers. */
export const browser = () => subscribeBrowser(PUSH_ORIGIN).token;

/** Returns the id of a user's membership in the room. */
export function membershipOf({ room }: Place, { key }: Someone): string {
  return encodeId('ChatroomMember', `${Buffer.from(room, 'base64url').toString().split(':')[1] ?? ''}:${key}`);
}

/** Returns the id of the friend request between two users. */
export const requestBetween = (from: Someone, to: Someone) => encodeId('FriendRequest', `${from.key}:${to.key}`);

/** Creates a refresh token of the session of `me`. */
export async function refreshToken({ premises: { server }, me }: Place): Promise<string> {
  const { token, hash, expiresAt } = createRefreshToken();
  await server.node.database.prisma.refreshToken.create({
    data: { hash: Uint8Array.from(hash), sessionId: me.sessionKey, expiresAt },
  });
  return token;
}

/** Creates the token that a mail to `me` would contain. */
export async function mailToken({ premises: { server }, me }: Place, purpose: MailPurpose): Promise<string> {
  const { token, hash } = createToken();
  const expiresAt = new Date(Date.now() + 60_000);
  await server.node.database.prisma.mailToken.create({
    data: { hash: Uint8Array.from(hash), userId: me.key, purpose, emailKey: me.email, expiresAt },
  });
  return token;
}

/** Creates an upload of a user, whose bytes have been sent. Returns its key. */
async function createUploadOf({ premises: { server } }: Place, { key }: Someone, more: object = {}): Promise<string> {
  const sha256 = Uint8Array.from(createHash('sha256').update('x').digest());
  const file = { userId: key, fileName: 'note.txt', mediaType: 'text/plain', byteSize: 1, sha256 };
  const { id } = await server.node.database.prisma.attachment.create({ data: { ...file, ...more } });
  await server.node.files?.write(`uploads/${id}`, Readable.from(['x']));
  return id;
}

/** Creates an upload of a user, whose bytes have been sent. Returns its id. */
export async function uploadOf(place: Place, someone: Someone): Promise<string> {
  return encodeId('Upload', await createUploadOf(place, someone));
}

/** Creates an attachment of a user, which has not been sent. Returns its id. */
export async function attachmentOf(place: Place, someone: Someone, purpose = 'MESSAGE'): Promise<string> {
  return encodeId('Attachment', await createUploadOf(place, someone, { state: 'READY', purpose }));
}

/** Creates an attachment of the message that a user has sent in the room. Returns its id. */
export async function sentAttachmentOf(place: Place, someone: Someone): Promise<string> {
  const [, chatroomId, number] = Buffer.from(someone.said, 'base64url').toString().split(':');
  const message = { chatroomId, number: Number(number), place: 0 };
  return encodeId('Attachment', await createUploadOf(place, someone, { state: 'READY', ...message }));
}

/** Opens a socket of a user, which stays open until the end of the test. */
export async function connectUser({ premises: { server } }: Place, { accessToken }: Someone): Promise<void> {
  await connect(server.url, accessToken).ask('{ __typename }');
}
