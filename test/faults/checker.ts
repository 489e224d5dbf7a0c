import { type Entry, type EntryOf, type FinalState, groupBy, only } from './history.ts';

export interface Finding {
  kind:
    | 'lost'
    | 'phantom'
    | 'repeated'
    | 'misordered'
    | 'diverging'
    | 'holed'
    | 'unauthorised'
    /** A reader has not received the last messages, long after all was well again. */
    | 'stuck'
    /** A stream failed with a code that it had no reason for. */
    | 'refused'
    | 'crashed'
    | 'undrained';
  detail: string;
}

type Stored = FinalState['messages'][number];

interface Reading {
  name: string;
  user: string;
  ofOneRoom: boolean;
  /** Where it began, or began anew, and what it received, in the order of the history. */
  entries: (EntryOf<'began'> | EntryOf<'received'>)[];
  received: EntryOf<'received'>[];
}

/** From when to when something was hidden from a user: messages of a room, or of a sender. */
interface Hidden {
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

/** How long after a removal or a block something may still arrive; longer while Redis is failing. */
const AUTHORITY_MS = { usually: 1_000, withoutRedis: 2_000 };
/** Faults that hold back what had been said before: it is late, and nothing has been told after its time. */
const HOLDING_BACK = ['node frozen', 'database slow to answer', 'database far away', 'reader does not read'];
/** How streams may fail: a removed member, and clients whose node or whose database has gone. */
const USUAL_ENDS =
  /^(NOT_FOUND|RESYNC_REQUIRED|INTERNAL_SERVER_ERROR|COMPLETE|HUNG_UP|NO_PONG|NETWORK.*|CLOSED (1\d\d\d|4504))$/;

/** Holds what was done and seen against what must never happen. */
export function check(entries: readonly Entry[], final: FinalState): Finding[] {
  const findings: Finding[] = [];
  const find = (kind: Finding['kind'], detail: string) => findings.push({ kind, detail });
  const stored = new Map(final.messages.map((message) => [keyOf(message), message]));
  const sent = new Map(only(entries, 'sending').map((entry) => [entry.clientMessageId, entry]));
  const hidden = findHidden(entries);
  const readings = findReadings(entries);

  checkDatabase(entries, final, sent, find);
  checkIds(entries, find);
  for (const reading of readings) {
    checkOrder(reading, hidden, find);
    checkContents(reading, stored, find);
    checkComplete(reading, final, sent, hidden, find);
    checkAuthority(reading, entries, stored, sent, hidden, find);
  }
  for (const { who, code, at } of only(entries, 'ended'))
    if (!USUAL_ENDS.test(code)) find('refused', `${who}: the stream ended with ${code} at ${seconds(at)}`);
  for (const { what, who, detail, at } of only(entries, 'crashed', 'undrained'))
    find(what, `${who} at ${seconds(at)}: ${detail}`);
  return findings;
}

type Find = (kind: Finding['kind'], detail: string) => void;
type Sent = ReadonlyMap<string, EntryOf<'sending'>>;

function checkDatabase(entries: readonly Entry[], final: FinalState, sent: Sent, find: Find): void {
  const rooms = groupBy(final.messages, (message) => message.room);
  for (const [room, last] of Object.entries(final.lastNumbers)) {
    const numbers = (rooms.get(room) ?? []).map((message) => message.number).sort((a, b) => a - b);
    const wrong = numbers.findIndex((number, i) => number !== i + 1);
    if (wrong >= 0) find('holed', `${room}: number ${numbers[wrong]} stands where ${wrong + 1} should`);
    else if (numbers.length !== last) find('holed', `${room}: ${numbers.length} messages, but the room counts ${last}`);
  }
  const byClientId = groupBy(
    final.messages.filter((message) => message.clientMessageId !== null),
    (message) => message.clientMessageId as string,
  );
  for (const [id, copies] of byClientId) {
    if (copies.length > 1) find('holed', `${id} is stored ${copies.length} times: ${copies.map(keyOf).join(', ')}`);
    const sending = sent.get(id);
    for (const copy of copies) {
      if (!sending) find('phantom', `${keyOf(copy)}, ${id}, is in the database and was never sent`);
      else if (sending.room !== copy.room || sending.body !== copy.body || sending.who !== copy.sender)
        find('diverging', `${keyOf(copy)} is not stored as ${id} was sent`);
    }
  }
  for (const { clientMessageId, room, number } of only(entries, 'acknowledged')) {
    const [copy] = byClientId.get(clientMessageId) ?? [];
    if (!copy) find('lost', `${clientMessageId} was acknowledged as ${room}/${number} and is not in the database`);
    else if (copy.number !== number)
      find('diverging', `${clientMessageId} was acknowledged as ${room}/${number} and is stored as ${keyOf(copy)}`);
  }
  for (const { clientMessageId, code } of only(entries, 'refused'))
    if (byClientId.has(clientMessageId)) find('phantom', `${clientMessageId} was refused with ${code}, and is stored`);
}

/** One id for each message, whoever sees it. */
function checkIds(entries: readonly Entry[], find: Find): void {
  const ids = new Map<string, string>();
  for (const entry of only(entries, 'acknowledged', 'received')) {
    const known = ids.get(keyOf(entry));
    if (known === undefined) ids.set(keyOf(entry), entry.id);
    else if (known !== entry.id)
      find('diverging', `${entry.who}: ${keyOf(entry)} has the id ${entry.id}, not ${known}`);
  }
}

/** Ascending; twice only over all rooms, after a resume, where each room begins again a little before. */
function checkOrder(reading: Reading, hidden: readonly Hidden[], find: Find): void {
  const { name, user, ofOneRoom } = reading;
  const mayLookAgain = hidden.some((each) => each.user === user);
  const rooms = new Map<string, { seen: Set<number>; stream: number; top: number; highest: number }>();
  for (const entry of reading.entries) {
    // Who begins anew after RESYNC_REQUIRED has asked for all, and may be told some of it again.
    if (entry.what === 'began') rooms.clear();
    if (entry.what !== 'received') continue;
    const { room, number, stream } = entry;
    const state = rooms.get(room) ?? { seen: new Set(), stream, top: 0, highest: 0 };
    rooms.set(room, state);
    if (!ofOneRoom && state.stream !== stream) Object.assign(state, { stream, top: 0 });
    const place = `${keyOf(entry)} at ${seconds(entry.at)} on stream ${stream}`;
    if (number <= state.top)
      find(state.seen.has(number) ? 'repeated' : 'misordered', `${name}: ${place}, after ${state.top}`);
    // What was not shown at first may be when it is passed again: a block has been taken back.
    else if (!mayLookAgain && number < state.highest && !state.seen.has(number))
      find('misordered', `${name}: ${place}, passed over before ${state.highest} until a resume`);
    state.seen.add(number);
    state.top = Math.max(state.top, number);
    state.highest = Math.max(state.highest, number);
  }
}

function checkContents({ name, received }: Reading, stored: ReadonlyMap<string, Stored>, find: Find): void {
  for (const entry of received) {
    const truth = stored.get(keyOf(entry));
    if (!truth) find('phantom', `${name}: ${keyOf(entry)}, "${shortly(entry.body)}", is not in the database`);
    else if (truth.body !== entry.body)
      find('diverging', `${name}: ${keyOf(entry)} is "${shortly(entry.body)}", stored "${shortly(truth.body)}"`);
  }
}

/** Everything in the database has been received, but what was hidden at some moment until it was passed. */
function checkComplete(reading: Reading, final: FinalState, sent: Sent, hidden: readonly Hidden[], find: Find): void {
  const { name, user, entries } = reading;
  for (const room of Object.keys(entries.find((entry) => entry.what === 'began')?.known ?? {})) {
    const seen = new Set<number>();
    /** The numbers that it was told of by queries. */
    const told: [after: number, upTo: number][] = [];
    /** When it had come so far, each further than the one before. */
    const steps: { number: number; at: number }[] = [];
    for (const entry of entries) {
      const top = steps.at(-1)?.number ?? 0;
      if (entry.what === 'began') told.push([top, entry.known[room] ?? 0]);
      else if (entry.what === 'received' && entry.room === room) {
        seen.add(entry.number);
        if (entry.number > top) steps.push(entry);
      }
    }
    const reached = Math.max(steps.at(-1)?.number ?? 0, ...told.map(([, upTo]) => upTo));
    const last = final.lastNumbers[room] ?? 0;
    if (reached < last) find('stuck', `${name}: has come to ${room}/${reached} of ${last}`);
    for (const message of final.messages) {
      const { number, sender, clientMessageId } = message;
      if (message.room !== room || number > reached || seen.has(number)) continue;
      if (told.some(([after, upTo]) => number > after && number <= upTo)) continue;
      const from = sent.get(clientMessageId ?? '')?.at ?? -Infinity;
      const passed = steps.find((step) => step.number > number)?.at ?? Infinity;
      const mayBeHidden = hidden.some(
        (each) => each.user === user && hides(each, room, sender) && each.asked <= passed && each.undone >= from,
      );
      if (!mayBeHidden)
        find('lost', `${name}: ${keyOf(message)}, ${clientMessageId ?? 'SYSTEM'}, passed at ${seconds(passed)}`);
    }
  }
}

/** Nothing of a room after the removal, nor of a sender after the block, until it is taken back. */
function checkAuthority(
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
      if (entry.at > deadlineOf(each.done, entry.at, entries))
        find('unauthorised', `${name}: ${keyOf(entry)}, ${late}${begun > each.done ? ', and sent after that' : ''}`);
    }
  }
}

/** Until when something may still arrive that was on its way. */
function deadlineOf(done: number, at: number, entries: readonly Entry[]): number {
  const faults = only(entries, 'fault');
  const failing = faults.some(({ kind, at, until }) => /^redis/.test(kind) && at < done + 2_000 && until > done);
  let deadline = done + (failing ? AUTHORITY_MS.withoutRedis : AUTHORITY_MS.usually);
  for (const fault of faults)
    if (HOLDING_BACK.includes(fault.kind) && fault.at < deadline && fault.until > done)
      deadline = Math.max(deadline, fault.until + AUTHORITY_MS.usually);
  // What this process itself was too busy to read in time.
  for (const late of only(entries, 'late')) if (late.at > done && late.at - late.ms < at) deadline += late.ms;
  return deadline;
}

function hides({ room, whom }: Hidden, inRoom: string, sender: string | null | undefined): boolean {
  return room === undefined ? whom === sender : room === inRoom;
}

function findHidden(entries: readonly Entry[]): Hidden[] {
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

function findReadings(entries: readonly Entry[]): Reading[] {
  const own = groupBy(only(entries, 'began', 'received'), (entry) => entry.who);
  return [...own].map(([name, mine]) => {
    const [began] = only(mine, 'began');
    return {
      ...{ name, user: began?.user ?? '', ofOneRoom: began?.ofOneRoom ?? false, entries: mine },
      received: only(mine, 'received'),
    };
  });
}

function keyOf({ room, number }: { room: string; number: number }): string {
  return `${room}/${number}`;
}

function shortly(body: string | null): string {
  return body === null ? '' : body.slice(0, 40);
}

function seconds(at: number): string {
  return `${(at / 1_000).toFixed(3)} s`;
}
