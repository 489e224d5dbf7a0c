import { type Context, eventContext, requireScope } from '../../core/context.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { sql } from '../../platform/database/database.ts';
import { createLoader } from '../../platform/database/loader.ts';
import { pairKey } from '../relationships/pair.ts';
import { checkExternalId, isExternalId, onlyServices, userKeysOf, type UserRefs } from '../users/externalIds.ts';
import {
  chatroomColumns,
  type ChatroomRow,
  checkShared,
  explainBotRefusal,
  MAX_NEW_MEMBERS,
  type NewChatroom,
  type VisibleChatroom,
} from './chatrooms.ts';

/** Scopes with which a service reads chatrooms and their members. Messages need `messages:read`. */
export const READS_ROOMS = ['rooms:write', 'messages:read'] as const;

const chatroomOfService = createLoader<ChatroomRow>(
  ({ database }, ids) =>
    database.prepared(sql`SELECT ${chatroomColumns} FROM chatrooms c WHERE c.id = ANY (${ids}::uuid[])`),
  ({ id }) => id,
);

/**
 * Returns a room for a service. The row has no fields that depend on a viewer.
 *
 * @param id null for an id that names no room
 * @throws ChatError `NOT_FOUND`; `FORBIDDEN` without a scope that reads rooms
 */
export async function requireChatroomOfService(context: Context, id: string | null): Promise<VisibleChatroom> {
  const room = await findChatroomOfService(context, id);
  if (!room) throw notFound('chatroom');
  return room;
}

/** Returns a room for a service, or null. See {@link requireChatroomOfService}. */
export async function findChatroomOfService(context: Context, id: string | null): Promise<VisibleChatroom | null> {
  requireScope(context, ...READS_ROOMS);
  // The resolvers of `Chatroom` accept a row without the fields of the viewer.
  return id === null ? null : ((await chatroomOfService(context, id)) as VisibleChatroom | null);
}

/** Returns a room by its external id for a service, or null. */
export async function findExternalChatroom(context: Context, externalId: string): Promise<VisibleChatroom | null> {
  return findChatroomOfService(context, await keyOfExternalId(context, externalId));
}

async function keyOfExternalId({ database }: Context, externalId: string): Promise<string | null> {
  if (!isExternalId(externalId)) return null;
  const [found] = await database.query<{ id: string }>(sql`
    SELECT id FROM chatrooms WHERE external_id = ${externalId}`);
  return found?.id ?? null;
}

/** A room that an input names by exactly one of `id` and `externalId`. */
export interface ChatroomRef {
  /** Null for an id that names no room, and undefined if the input has no id. */
  id: string | null | undefined;
  externalId: string | null | undefined;
}

/**
 * Returns the key of a room that an input names. Null for an id that names no room. Users name rooms by id only.
 *
 * @throws ChatError `BAD_USER_INPUT` unless exactly one of `chatroomId` and `chatroomExternalId` is set; `FORBIDDEN` for a
 *   user who sets the external id; `NOT_FOUND` if no room has the external id
 */
export async function chatroomKeyOf(context: Context, { id, externalId }: ChatroomRef): Promise<string | null> {
  if (id !== undefined && externalId == null) return id;
  if (externalId != null && !context.service) throw onlyServices('chatroomExternalId');
  if (id !== undefined || externalId == null)
    throw badInput(
      'input.chatroomId',
      context.service ? 'Set either chatroomId or chatroomExternalId.' : 'Set chatroomId to the id of a chatroom.',
    );
  const key = await keyOfExternalId(context, externalId);
  if (key === null)
    throw new ChatError(
      'NOT_FOUND',
      `No chatroom has the external id ${JSON.stringify(externalId.slice(0, 100))}. Create it with createChatroom.`,
      { path: ['input', 'chatroomExternalId'] },
    );
  return key;
}

/** A room that a service creates. */
export interface NewExternalChatroom extends Omit<NewChatroom, 'memberIds'> {
  externalId: string | null;
  owner: UserRefs;
  members: UserRefs;
}

/**
 * Creates a room for a service, or returns the room that has the external id. An existing room is returned unchanged.
 * Blocks between the members are not checked, because the application decides who works together. In a DIRECT room with a
 * block, neither user can send.
 *
 * @throws ChatError `BAD_USER_INPUT` for an invalid room; `NOT_FOUND` if one of the users does not exist; `CONFLICT` if
 *   the external id belongs to a room of another kind or other two users, or if the DIRECT room of the two users has
 *   another external id
 */
export async function createExternalChatroom(context: Context, input: NewExternalChatroom): Promise<VisibleChatroom> {
  const externalId = input.externalId === null ? null : checkExternalId(input.externalId, 'input.externalId');
  const [ownerId = null] = await userKeysOf(context, input.owner, 'ownerExternalId');
  const memberKeys = await userKeysOf(context, input.members, 'memberExternalIds');
  const others = memberKeys.filter((key) => key !== ownerId);
  if (others.length > MAX_NEW_MEMBERS)
    throw badInput(
      'input.memberExternalIds',
      `Create a chatroom with at most ${MAX_NEW_MEMBERS} members besides its owner, and add more later.`,
    );
  if (ownerId === null && others.length === 0)
    throw badInput('input.ownerExternalId', 'A chatroom needs a member. Set ownerExternalId or memberExternalIds.');
  const room = input.kind === 'DIRECT' ? checkPair(input, ownerId, others) : { ...checkShared(input), directKey: null };
  const by = ownerId ?? (input.kind === 'DIRECT' ? (others.pop() ?? null) : null);
  const { kind, name, topic, directKey } = room;
  const create =
    externalId === null
      ? sql`SELECT 'CREATED' AS outcome, create_chatroom(
          ${kind}::"ChatroomKind", ${name}, ${topic}, ${directKey}, ${by}::uuid, ${others}::uuid[]) AS id`
      : sql`SELECT outcome, chatroom_id AS id FROM create_external_chatroom(
          ${externalId}, ${kind}::"ChatroomKind", ${name}, ${topic}, ${directKey}, ${by}::uuid, ${others}::uuid[])`;
  const [made] = await context.database.query<{ outcome: string; id: string }>(create).catch(explainBotRefusal);
  if (!made) throw new Error('create_external_chatroom returned no row.');
  if (made.outcome === 'CONFLICT')
    throw new ChatError(
      'CONFLICT',
      'The external id belongs to a chatroom of another kind or of other users, or the two users have a DIRECT chatroom with another external id. Use the external id of that chatroom.',
    );
  if (made.outcome === 'CREATED') context.changePoller.requestPoll();
  return requireChatroomOfService(eventContext(context), made.id);
}

function checkPair(input: NewExternalChatroom, ownerId: string | null, others: readonly string[]) {
  const [one, two, ...rest] = ownerId === null ? others : [ownerId, ...others];
  if (one === undefined || two === undefined || rest.length > 0)
    throw badInput('input.memberExternalIds', 'A DIRECT chatroom has exactly two members, with or without an owner.');
  if (input.name != null || input.topic != null)
    throw badInput('input.name', 'A DIRECT chatroom has no name and no topic.');
  return { kind: input.kind, name: null, topic: null, directKey: pairKey(one, two) };
}
