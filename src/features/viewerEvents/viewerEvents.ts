import { type Context, requireViewer, snapshotOf } from '../../core/context.ts';
import type { SnapshotEvent } from '../../platform/database/consistentReads.ts';
import { followAllRooms } from '../chatroomEvents/allRoomsStream.ts';
import { encodeAllRoomsCursor, isResyncRequired } from '../../delivery/cursor.ts';
import { forEach, type Stream } from '../../delivery/source.ts';
import { findChangesSince } from './missedChanges.ts';
import { createViewerChanges, type ViewerEvent } from './viewerChanges.ts';

/**
 * Streams the events that concern the viewer. Events can repeat or be lost; the query fields return the current state.
 * The stream is conflated: at most one event of each kind is buffered for a room or user.
 *
 * With `after`, first reports rooms that appeared or vanished since that cursor, and blocks, friendships and read marks that
 * changed.
 *
 * With `snapshot` and without `after`, the first event is a snapshot of the viewer's data. It is read when the stream
 * already receives every hint, so a change after the snapshot is reported. Also sent if the stream cannot resume from
 * `after`, and if a missed change has no event.
 *
 * @param after an all-rooms cursor
 * @throws ChatError as {@link findChangesSince}; with `snapshot`, not `RESYNC_REQUIRED`
 */
export async function followViewer(
  context: Context,
  after: string | null | undefined,
  snapshot = false,
): Promise<Stream<ViewerEvent | SnapshotEvent<ViewerEvent>>> {
  requireViewer(context);
  const changes = createViewerChanges(context, after ?? currentCursor(context));
  const { stream } = changes;

  function readIn(own: Context): Promise<ViewerEvent> {
    const cursor = encodeAllRoomsCursor(context.databaseId, snapshotOf(own) ?? '');
    // Later events continue after the snapshot. Events of earlier changes may still follow; they are read again when
    // they are sent.
    changes.moveTo(cursor);
    return Promise.resolve({ kind: 'ViewerSnapshot', cursor });
  }

  return stream.connect(async () => {
    // Listens before the missed changes are read, so that no change is lost between the read and the live events.
    await changes.listen();
    const rooms = await followAllRooms(context, null);
    stream.onClose(() => {
      rooms.end();
    });
    changes.setRooms(rooms);
    const missed = after == null ? null : await missedSince(context, after, snapshot);
    if (missed) changes.addMissed(missed);
    else if (snapshot) stream.startWith({ readIn });
    forEach(rooms, (event) => changes.apply(event)).catch(stream.error);
  });
}

/** Returns the cursor of a stream that begins now. */
export function currentCursor({ databaseId, changePoller }: Context): string {
  return encodeAllRoomsCursor(databaseId, changePoller.snapshot());
}

/**
 * Returns the changes that the viewer missed. With `snapshot`, returns null if the stream sends a snapshot instead: it cannot
 * resume, or a change has no event.
 *
 * @throws ChatError as {@link findChangesSince}
 */
async function missedSince(context: Context, after: string, snapshot: boolean) {
  const missed = await findChangesSince(context, after).catch((error: unknown) => {
    if (snapshot && isResyncRequired(error)) return null;
    throw error;
  });
  return snapshot && missed?.viewerChanged ? null : missed;
}
