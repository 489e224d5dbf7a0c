import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { empty, sql } from '../database/database.ts';
import { badInput, notFound } from '../errors.ts';
import { isStorable } from '../text.ts';
import { requireMembership, type VisibleChatroom, visibleColumns } from './chatrooms.ts';

/** What the functions that change a membership answer. `seq` is null where nothing changed. */
interface Change {
  outcome: 'CHANGED' | 'NOT_FOUND' | 'DIRECT';
  seq: number | null;
}

/**
 * Makes the viewer a member of an OPEN room. Joining again changes nothing.
 *
 * @throws ChatError `NOT_FOUND` for any other room
 */
export async function joinChatroom(context: Context, chatroomId: string | null): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  if (chatroomId === null) throw notFound('chatroom');
  const [change] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM join_chatroom(${chatroomId}::uuid, ${userId}::uuid)`);
  if (change?.outcome !== 'CHANGED') throw notFound('chatroom');
  if (change.seq !== null) context.tails.nudge(chatroomId, change.seq);
  return requireMembership(freshContext(context), chatroomId);
}

/**
 * Ends the viewer's membership, and with it their streams of the room. The owner hands the room to the longest-standing
 * admin, else member; the last to leave ends it.
 *
 * @throws ChatError `NOT_FOUND` for who is no member; `BAD_USER_INPUT` for a DIRECT room, in which both are for good
 */
export async function leaveChatroom(context: Context, chatroomId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  if (chatroomId === null) throw notFound('chatroom');
  const [change] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM leave_chatroom(${chatroomId}::uuid, ${userId}::uuid)`);
  if (change?.outcome === 'DIRECT') throw badInput('input.chatroomId', 'Nobody leaves a DIRECT chatroom.');
  if (change?.outcome !== 'CHANGED') throw notFound('chatroom');
  if (change.seq !== null) context.tails.nudge(chatroomId, change.seq);
}

/** OPEN rooms by name, or those whose name begins with `search`, without regard to letter case. */
export async function listOpenChatrooms(
  context: Context,
  search: string | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<VisibleChatroom>> {
  const { userId } = requireViewer(context);
  if (search != null && (search.length > 100 || !isStorable(search))) {
    throw badInput('search', 'Search for at most 100 characters.');
  }
  const name = sql`lower(c.name) COLLATE "C"`;
  return connect<VisibleChatroom, string[]>(args, {
    encode: (room) => encodeKeyset('open', [room.name?.toLowerCase() ?? '', room.id]),
    decode: (cursor, path) => decodeKeyset('open', ['name', 'uuid'], cursor, path),
    load: ({ after, before, reverse, limit }) =>
      context.database.query<VisibleChatroom>(sql`
        SELECT ${visibleColumns(userId)} FROM chatrooms c
          WHERE c.kind = 'OPEN'
            ${search == null ? empty : sql`AND ${name} ^@ lower(${search}::text)`}
            ${after === null ? empty : sql`AND (${name}, c.id) > (${after[0]}, ${after[1]}::uuid)`}
            ${before === null ? empty : sql`AND (${name}, c.id) < (${before[0]}, ${before[1]}::uuid)`}
          ORDER BY ${name} ${reverse ? sql`DESC` : empty}, c.id ${reverse ? sql`DESC` : empty} LIMIT ${limit}`),
  });
}
