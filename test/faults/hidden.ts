import { type Entry, only } from './history.ts';
import { type Find, keyOf, type Reading, type Sent, type Stored } from './findings.ts';

/** A period in which data was hidden from a user: messages of a room, or of a sender. */
export interface Hidden {
  user: string;
  room?: string;
  whom?: string;
  /** The period began between these two times. */
  asked: number;
  done: number;
  /** The period ended between these two times. Infinity if it has no end. */
  undoAsked: number;
  undone: number;
}

/**
 * Time in milliseconds for which events may still arrive after a removal or a block. If Redis fails, there is no
 * notification. If the database fails, a poll may need a second attempt one second later.
 */
const AUTHORITY_MS = { usually: 1_000, whileFailing: 2_000 };
const FAILING = /^(redis|database|answers)/;
/** Time in milliseconds for which a fault has effects after its end, because clients and nodes reconnect. */
const AFTERMATH_MS = 1_000;
/** Faults that delay data sent before the removal. Such data arrives late, but was authorised when it was sent. */
const HOLDING_BACK = ['node frozen', 'database slow to answer', 'database far away', 'reader does not read'];

/** Finds messages received after a removal or a block of their sender, before it was undone. */
export function checkAuthority(
  { name, user, received }: Reading,
  entries: readonly Entry[],
  stored: ReadonlyMap<string, Stored>,
  sent: Sent,
  hidden: readonly Hidden[],
  find: Find,
): void {
  const mine = hidden.filter((each) => each.user === user);
  for (const entry of mine.length > 0 ? received : []) {
    const truth = stored.get(keyOf(entry));
    for (const each of mine) {
      if (entry.at <= each.done || entry.at >= each.undoAsked || !hides(each, entry.room, truth?.sender)) continue;
      const what = each.room === undefined ? `has blocked ${each.whom}` : `was removed from ${each.room}`;
      const begun = sent.get(truth?.clientMessageId ?? '')?.at ?? -Infinity;
      const late = `${Math.round(entry.at - each.done)} ms after ${user} ${what}`;
      if (entry.at <= deadlineOf(each.done, entry.at, entries)) continue;
      const around = only(entries, 'fault').filter(
        ({ at, until }) => at < entry.at && until + AFTERMATH_MS > each.done,
      );
      const meanwhile = around.map(({ kind, at }) => `${kind} at ${(at / 1_000).toFixed(1)} s`).join(', ');
      find(
        'unauthorised',
        `${name}: ${keyOf(entry)} at ${(entry.at / 1_000).toFixed(1)} s, ${late}${begun > each.done ? ', and sent after that' : ''}; ${meanwhile}`,
      );
    }
  }
}

/** Returns the latest time at which data in transit may arrive. */
function deadlineOf(done: number, at: number, entries: readonly Entry[]): number {
  const faults = only(entries, 'fault');
  const failing = faults.some(
    (fault) => FAILING.test(fault.kind) && fault.at < done + AUTHORITY_MS.usually && fault.until + AFTERMATH_MS > done,
  );
  let deadline = done + (failing ? AUTHORITY_MS.whileFailing : AUTHORITY_MS.usually);
  for (const fault of faults)
    if (HOLDING_BACK.includes(fault.kind) && fault.at < deadline && fault.until > done)
      deadline = Math.max(deadline, fault.until + AUTHORITY_MS.usually);
  // Adds the time for which this process was too busy to read.
  for (const late of only(entries, 'late')) if (late.at > done && late.at - late.ms < at) deadline += late.ms;
  return deadline;
}

export function hides({ room, whom }: Hidden, inRoom: string, sender: string | null | undefined): boolean {
  return room === undefined ? whom === sender : room === inRoom;
}

export function findHidden(entries: readonly Entry[]): Hidden[] {
  const found: Hidden[] = [];
  for (const entry of only(
    entries,
    'removing',
    'removed',
    'adding',
    'added',
    'blocking',
    'blocked',
    'unblocking',
    'unblocked',
  )) {
    const { user, at } = entry;
    const about = 'room' in entry ? { user, room: entry.room } : { user, whom: entry.whom };
    const open = found.findLast((each) => each.user === user && each.room === entry.room && each.whom === entry.whom);
    if (entry.what === 'removing' || entry.what === 'blocking')
      found.push({ ...about, asked: at, done: Infinity, undoAsked: Infinity, undone: Infinity });
    else if (!open) continue;
    else if (entry.what === 'removed' || entry.what === 'blocked') open.done = at;
    else if (entry.what === 'adding' || entry.what === 'unblocking') open.undoAsked = at;
    else open.undone = at;
  }
  return found;
}
