import { type Entry, only } from './history.ts';
import { type Find, keyOf, type Reading, type Sent, type Stored } from './findings.ts';

/** From when to when something was hidden from a user: messages of a room, or of a sender. */
export interface Hidden {
  user: string;
  room?: string;
  whom?: string;
  /** It may have begun from here on, and had by there. */
  asked: number;
  done: number;
  /** The same of its end; Infinity where it has none. */
  undoAsked: number;
  undone: number;
}

/**
 * How long after a removal or a block something may still arrive. Where Redis fails, nobody is told at once; where the database
 * does, a sweep that was may have to look again a second later.
 */
const AUTHORITY_MS = { usually: 1_000, whileFailing: 2_000 };
const FAILING = /^(redis|database|answers)/;
/** How long a fault is felt after its end: connections are made anew. */
const AFTERMATH_MS = 1_000;
/** Faults that hold back what had been said before: it is late, and nothing has been told after its time. */
const HOLDING_BACK = ['node frozen', 'database slow to answer', 'database far away', 'reader does not read'];

/** Nothing of a room after the removal, nor of a sender after the block, until it is taken back. */
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

/** Until when something may still arrive that was on its way. */
function deadlineOf(done: number, at: number, entries: readonly Entry[]): number {
  const faults = only(entries, 'fault');
  const failing = faults.some(
    (fault) => FAILING.test(fault.kind) && fault.at < done + AUTHORITY_MS.usually && fault.until + AFTERMATH_MS > done,
  );
  let deadline = done + (failing ? AUTHORITY_MS.whileFailing : AUTHORITY_MS.usually);
  for (const fault of faults)
    if (HOLDING_BACK.includes(fault.kind) && fault.at < deadline && fault.until > done)
      deadline = Math.max(deadline, fault.until + AUTHORITY_MS.usually);
  // What this process itself was too busy to read in time.
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
