import { createHash } from 'node:crypto';
import { badInput, ChatError } from '../core/errors.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    /** Identifies the database in cursors. A cursor of another database is refused. */
    databaseId: string;
  }
}

/**
 * A client's position in a room: the client has received the events up to `seq`.
 *
 * `asOf` prevents a cursor from being newer than the fields that were returned with it. These fields are read one after
 * the other, and a commit may happen in between. The `asOf` snapshot is taken before any field is read. When the client
 * resumes, the position moves back to the last event that the snapshot sees.
 *
 * The cursor of a message has the kind `message`, and `number` is the number of that message. The client has all
 * messages up to `number`, so a resumed stream leaves them out. Cursors of the kind `room` do not use `number`.
 */
export interface RoomCursor {
  kind: 'room' | 'message';
  chatroomId: string;
  number: number;
  seq: number;
  /** A `pg_snapshot`. Absent in cursors of live events, because their position is exact. */
  asOf?: string | undefined;
}

const MAX_INT = 2_147_483_647;

/** Returns a short id of a database for use in cursors: 8 base64url characters. */
export function databaseIdOf(identity: string): string {
  return createHash('sha256').update(identity).digest('base64url').slice(0, 8);
}

/** Encodes a room cursor for a client. */
export function encodeRoomCursor(databaseId: string, cursor: RoomCursor): string {
  const { kind, chatroomId, number, seq, asOf } = cursor;
  return Buffer.from([kind, databaseId, chatroomId, number, seq, asOf ? shorten(asOf) : ''].join(' ')).toString(
    'base64url',
  );
}

/**
 * Decodes a room cursor.
 *
 * @param path name of the argument that contained the cursor, for the error
 * @throws ChatError `BAD_USER_INPUT` if the text is not a room cursor or belongs to another room;
 *   `RESYNC_REQUIRED` for a cursor of another database
 */
export function decodeRoomCursor(databaseId: string, chatroomId: string, text: string, path: string): RoomCursor {
  const [kind, cursorDatabaseId, room, number = '', seq = '', asOf = '', ...rest] = Buffer.from(text, 'base64url')
    .toString()
    .split(' ');
  if (
    (kind !== 'room' && kind !== 'message') ||
    !isPosition(number) ||
    !isPosition(seq) ||
    !(asOf === '' || isSnapshot(asOf)) ||
    rest.length > 0
  ) {
    throw badInput(path, 'This is not a room cursor. Use one from Chatroom.cursor, Message.cursor or an event.');
  }
  if (cursorDatabaseId !== databaseId) throw resyncRequired('This cursor comes from another database.');
  if (room !== chatroomId) throw badInput(path, 'This cursor belongs to another chatroom.');
  return { kind, chatroomId, number: Number(number), seq: Number(seq), asOf: asOf || undefined };
}

/**
 * Encodes an all-rooms cursor. The cursor means that the client has received every event that `snapshot` sees.
 *
 * @param snapshot taken by a poll or at the start of an operation, so never newer than the fields returned with the
 *   cursor
 */
export function encodeAllRoomsCursor(databaseId: string, snapshot: string): string {
  return Buffer.from(['all', databaseId, shorten(snapshot)].join(' ')).toString('base64url');
}

/**
 * Returns the snapshot of an all-rooms cursor.
 *
 * @param path name of the argument that contained the cursor, for the error
 * @throws ChatError `BAD_USER_INPUT` if the text is not an all-rooms cursor; `RESYNC_REQUIRED` for a cursor of another
 *   database
 */
export function decodeAllRoomsCursor(databaseId: string, text: string, path: string): string {
  const [kind, cursorDatabaseId, snapshot = '', ...rest] = Buffer.from(text, 'base64url').toString().split(' ');
  if (kind !== 'all' || !isSnapshot(snapshot) || rest.length > 0) {
    throw badInput(
      path,
      'This is not an all-rooms cursor. Use one from Viewer.cursor or an event of messageAdded without a room.',
    );
  }
  if (cursorDatabaseId !== databaseId) throw resyncRequired('This cursor comes from another database.');
  return snapshot;
}

/** Returns the error for a valid cursor from which a stream cannot resume. `reason` is a sentence for the client. */
export function resyncRequired(reason: string): ChatError {
  return new ChatError('RESYNC_REQUIRED', `${reason} Query again and subscribe from the new cursor.`);
}

/** Returns whether an error means that a stream cannot resume from its cursor. */
export function isResyncRequired(error: unknown): boolean {
  return error instanceof ChatError && error.code === 'RESYNC_REQUIRED';
}

function isPosition(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_INT;
}

/**
 * Replaces a snapshot of more than 120 characters by the older snapshot `xmin:xmin:`. A snapshot lists all open
 * transactions, so it can be long on a busy database. A resume from the older snapshot may repeat events, but never
 * loses one.
 */
function shorten(snapshot: string): string {
  const [xmin = ''] = snapshot.split(':');
  return snapshot.length <= 120 ? snapshot : `${xmin}:${xmin}:`;
}

/**
 * Returns whether PostgreSQL accepts a text as a snapshot: `xmin:xmax:xip,xip…`. The xips must ascend from at least
 * xmin to below xmax.
 */
function isSnapshot(text: string): boolean {
  const [, xmin = '', xmax = '', list = ''] = /^(\d{1,18}):(\d{1,18}):((?:\d{1,18}(?:,\d{1,18})*)?)$/.exec(text) ?? [];
  if (xmin === '' || BigInt(xmin) === 0n || BigInt(xmin) > BigInt(xmax)) return false;
  const running = list === '' ? [] : list.split(',').map(BigInt);
  return running.every((xid, i) => xid >= (i === 0 ? BigInt(xmin) : (running[i - 1] ?? 0n) + 1n) && xid < BigInt(xmax));
}
