/**
 * Tracks the latest database snapshot of which a subscriber over many rooms has received every event. The subscriber's
 * cursor may name this snapshot and no later one.
 */
export interface SnapshotProgress {
  /** Returns the latest snapshot that was reached. */
  snapshot: () => string;
  /** Adds a snapshot. It is reached once each of these rooms has been delivered up to its `seq`. */
  require(snapshot: string, rooms: Iterable<readonly [chatroomId: string, seq: number]>): void;
  /** Called after an event of the room was delivered. Without an argument, all rooms are checked again. */
  advance: (chatroomId?: string) => void;
}

/**
 * Creates the progress of one subscriber.
 *
 * Only the first pending snapshot has to be reached, however many arrive later. A subscriber that always lags a little
 * therefore still advances. Later snapshots are merged into one, so that at most two are pending beyond the checkpoints.
 *
 * @param start the snapshot that counts as reached
 * @param isDue returns whether a room has still to be delivered up to an event
 * @param checkpoints intermediate snapshots of a resume, each with the rooms that it advances beyond the one before
 */
export function createSnapshotProgress(
  start: string,
  isDue: (chatroomId: string, seq: number) => boolean,
  checkpoints: readonly { snapshot: string; rooms: Iterable<readonly [chatroomId: string, seq: number]> }[] = [],
): SnapshotProgress {
  const targets = checkpoints.map(({ snapshot, rooms }) => ({ snapshot, pending: new Map(rooms) }));
  let reached = start;

  /** Checks the given rooms against the first target. When that is reached, checks all rooms of the next one. */
  function settle(rooms: Iterable<string>): void {
    for (let [first] = targets; first; [first] = targets) {
      for (const chatroomId of rooms) {
        const seq = first.pending.get(chatroomId);
        if (seq !== undefined && !isDue(chatroomId, seq)) first.pending.delete(chatroomId);
      }
      if (first.pending.size > 0) return;
      reached = first.snapshot;
      targets.shift();
      rooms = targets[0]?.pending.keys() ?? [];
    }
  }

  return {
    snapshot: () => reached,
    require(snapshot, rooms) {
      let target = targets.length > 1 ? targets.at(-1) : undefined;
      if (target) target.snapshot = snapshot;
      else targets.push((target = { snapshot, pending: new Map() }));
      for (const [chatroomId, seq] of rooms) {
        if (isDue(chatroomId, seq)) target.pending.set(chatroomId, Math.max(seq, target.pending.get(chatroomId) ?? 0));
      }
      settle([]);
    },
    advance(chatroomId) {
      settle(chatroomId === undefined ? (targets[0]?.pending.keys() ?? []) : [chatroomId]);
    },
  };
}
