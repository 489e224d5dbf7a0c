import { createHash } from 'node:crypto';
import { badInput, ChatError } from '../errors.ts';

/**
 * A place in a room, as clients hold it: what follows event `seq`, whose last message is `number`.
 *
 * The cursor of a message says more: the messages up to it are known to the client, whatever else is not.
 *
 * `floor` keeps a cursor from being newer than the fields that came with it. Those were read one after the
 * other, and something may have been committed between one and the next. `floor` is a snapshot taken
 * before any of them; on resuming, the place is moved back to the last event which that snapshot saw.
 */
export interface RoomCursor {
  kind: 'room' | 'message';
  chatroomId: string;
  number: number;
  seq: number;
  /** A `pg_snapshot`. Absent in the cursors of live events, which are exact. */
  floor?: string | undefined;
}

const MAX_INT = 2_147_483_647;

/** A short name of a database that can stand in a cursor. */
export function databaseMark(identity: string): string {
  return createHash('sha256').update(identity).digest('base64url').slice(0, 8);
}

/** Writes a cursor of the database named by `mark`. */
export function encodeRoomCursor(mark: string, cursor: RoomCursor): string {
  const { kind, chatroomId, number, seq, floor } = cursor;
  return Buffer.from([kind, mark, chatroomId, number, seq, floor ? shorten(floor) : ''].join(' ')).toString(
    'base64url',
  );
}

/**
 * Reads a cursor of a room.
 *
 * @param path the argument it came in, for the error
 * @throws ChatError `BAD_USER_INPUT` for what is no room cursor, or one of another room;
 *   `RESYNC_REQUIRED` for a cursor of another database
 */
export function decodeRoomCursor(mark: string, chatroomId: string, text: string, path: string): RoomCursor {
  const [kind, itsMark, room, number = '', seq = '', floor = '', ...rest] = Buffer.from(text, 'base64url')
    .toString()
    .split(' ');
  if (
    (kind !== 'room' && kind !== 'message') ||
    !isPosition(number) ||
    !isPosition(seq) ||
    !(floor === '' || isSnapshot(floor)) ||
    rest.length > 0
  ) {
    throw badInput(path, 'This is no cursor of a chatroom. Take it from Chatroom.cursor, Message.cursor or an event.');
  }
  if (itsMark !== mark) throw resyncRequired('This cursor comes from another database.');
  if (room !== chatroomId) throw badInput(path, 'This cursor belongs to another chatroom.');
  return { kind, chatroomId, number: Number(number), seq: Number(seq), floor: floor || undefined };
}

/**
 * Writes a cursor over all rooms: a snapshot of the database, all of whose events are known to the client. It is a sweep's
 * or an operation's, and so at least as old as whatever comes with it.
 */
export function encodeAllRoomsCursor(mark: string, snapshot: string): string {
  return Buffer.from(['all', mark, shorten(snapshot)].join(' ')).toString('base64url');
}

/**
 * The snapshot in a cursor over all rooms.
 *
 * @throws ChatError `BAD_USER_INPUT` for what is none; `RESYNC_REQUIRED` for a cursor of another database
 */
export function decodeAllRoomsCursor(mark: string, text: string, path: string): string {
  const [kind, itsMark, snapshot = '', ...rest] = Buffer.from(text, 'base64url').toString().split(' ');
  if (kind !== 'all' || !isSnapshot(snapshot) || rest.length > 0) {
    throw badInput(
      path,
      'This is no cursor over all chatrooms. Take it from Viewer.cursor or an event of that stream.',
    );
  }
  if (itsMark !== mark) throw resyncRequired('This cursor comes from another database.');
  return snapshot;
}

/** The cursor is sound, but what followed it cannot be told any more. */
export function resyncRequired(reason: string): ChatError {
  return new ChatError('RESYNC_REQUIRED', `${reason} Query again and subscribe from the new cursor.`);
}

function isPosition(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_INT;
}

/** Hundreds of transactions under way make a long snapshot. One that saw none of them is short, and older. */
function shorten(snapshot: string): string {
  const [xmin = ''] = snapshot.split(':');
  return snapshot.length <= 120 ? snapshot : `${xmin}:${xmin}:`;
}

/** Whether PostgreSQL will take it: `xmin:xmax:xip,xip…`, ascending, each from xmin to below xmax. */
function isSnapshot(text: string): boolean {
  const [, xmin = '', xmax = '', list = ''] = /^(\d{1,18}):(\d{1,18}):((?:\d{1,18}(?:,\d{1,18})*)?)$/.exec(text) ?? [];
  if (xmin === '' || BigInt(xmin) === 0n || BigInt(xmin) > BigInt(xmax)) return false;
  const running = list === '' ? [] : list.split(',').map(BigInt);
  return running.every((xid, i) => xid >= (i === 0 ? BigInt(xmin) : (running[i - 1] ?? 0n) + 1n) && xid < BigInt(xmax));
}
