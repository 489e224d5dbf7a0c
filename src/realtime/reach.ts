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
 * on nevertheless. What comes meanwhile is one next target, so that at most two are kept.
 *
 * @param isDue whether a room has still to be read up to an event
 */
export function createReach(start: string, isDue: (chatroomId: string, seq: number) => boolean): Reach {
  const targets: { snapshot: string; due: Map<string, number> }[] = [];
  let reached = start;

  function settleRoom(due: Map<string, number>, chatroomId: string): void {
    const seq = due.get(chatroomId);
    if (seq !== undefined && !isDue(chatroomId, seq)) due.delete(chatroomId);
  }

  function moveOn(): void {
    for (let first = targets[0]; first?.due.size === 0; first = targets[0]) {
      reached = first.snapshot;
      targets.shift();
    }
  }

  return {
    snapshot: () => reached,
    owe(snapshot, rooms) {
      let target = targets[1];
      if (target) target.snapshot = snapshot;
      else targets.push((target = { snapshot, due: new Map() }));
      for (const [chatroomId, seq] of rooms) {
        if (isDue(chatroomId, seq)) target.due.set(chatroomId, Math.max(seq, target.due.get(chatroomId) ?? 0));
      }
      moveOn();
    },
    settle(chatroomId) {
      for (const { due } of targets) {
        for (const room of chatroomId === undefined ? [...due.keys()] : [chatroomId]) settleRoom(due, room);
      }
      moveOn();
    },
  };
}
