/**
 * Tracks the latest database snapshot that a subscriber to many rooms has reached. A snapshot is reached when every
 * event that it sees has been delivered. The subscriber's cursor must not name a later snapshot.
 */
export interface SnapshotProgress {
  /** Returns the latest snapshot that was reached. */
  snapshot: () => string;
  /**
   * Adds a snapshot. The snapshot is reached when the events of each given room have been delivered up to the room's
   * `seq`.
   */
  require(snapshot: string, rooms: Iterable<readonly [chatroomId: string, seq: number]>): void;
  /**
   * Checks whether the first pending snapshots have been reached. Call it with a room after an event of that room has
   * been delivered. Without an argument, checks all rooms.
   */
  advance: (chatroomId?: string) => void;
}

/**
 * Creates the progress of one subscriber.
 *
 * Snapshots are reached in order. If two or more are pending, a new snapshot replaces the last of them. The first
 * pending snapshot is kept, so that a subscriber that always lags a little still reaches it.
 *
 * @param start the snapshot that counts as reached
 * @param isDue returns whether a room still has undelivered events up to `seq`
 * @param checkpoints intermediate snapshots of a resume, each with the rooms that have events after the previous
 *   checkpoint
 */
export function createSnapshotProgress(
  start: string,
  isDue: (chatroomId: string, seq: number) => boolean,
  checkpoints: readonly { snapshot: string; rooms: Iterable<readonly [chatroomId: string, seq: number]> }[] = [],
): SnapshotProgress {
  const targets = checkpoints.map(({ snapshot, rooms }) => ({ snapshot, pending: new Map(rooms) }));
  let reached = start;

  /**
   * Checks the given rooms against the first target. When that target is reached, checks all rooms of the next target.
   */
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
