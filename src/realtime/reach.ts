/**
 * Finds out of which snapshot of the database a subscriber over many rooms has been handed all events, and so what its
 * cursor may say.
 */
export interface Reach {
  /** The latest snapshot that was reached. */
  snapshot: () => string;
  /** To reach this snapshot, each of these rooms must be read up to the given event. */
  owe(snapshot: string, rooms: Iterable<readonly [chatroomId: string, seq: number]>): void;
  /** Looks again at a room, in which something was handed on; or at all of them. */
  settle: (chatroomId?: string) => void;
}

/**
 * One snapshot at a time is worked towards, however many come meanwhile: a subscriber that is always a little behind moves
 * on nevertheless. What comes meanwhile is one next target, so that at most two are kept beyond the steps to begin with.
 *
 * @param isDue whether a room has still to be read up to an event
 * @param steps snapshots on the way to the first that is owed, each with the rooms that take it further than the one before
 */
export function createReach(
  start: string,
  isDue: (chatroomId: string, seq: number) => boolean,
  steps: readonly { snapshot: string; rooms: Iterable<readonly [chatroomId: string, seq: number]> }[] = [],
): Reach {
  const targets = steps.map(({ snapshot, rooms }) => ({ snapshot, due: new Map(rooms) }));
  let reached = start;

  /** Only the first target is looked at; the next one is once its turn has come. */
  function settle(rooms: Iterable<string>): void {
    for (let [first] = targets; first; [first] = targets) {
      for (const chatroomId of rooms) {
        const seq = first.due.get(chatroomId);
        if (seq !== undefined && !isDue(chatroomId, seq)) first.due.delete(chatroomId);
      }
      if (first.due.size > 0) return;
      reached = first.snapshot;
      targets.shift();
      rooms = targets[0]?.due.keys() ?? [];
    }
  }

  return {
    snapshot: () => reached,
    owe(snapshot, rooms) {
      let target = targets.length > 1 ? targets.at(-1) : undefined;
      if (target) target.snapshot = snapshot;
      else targets.push((target = { snapshot, due: new Map() }));
      for (const [chatroomId, seq] of rooms) {
        if (isDue(chatroomId, seq)) target.due.set(chatroomId, Math.max(seq, target.due.get(chatroomId) ?? 0));
      }
      settle([]);
    },
    settle(chatroomId) {
      settle(chatroomId === undefined ? (targets[0]?.due.keys() ?? []) : [chatroomId]);
    },
  };
}
