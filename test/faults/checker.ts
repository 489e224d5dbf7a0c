import { type Find, type Finding, findReadings, keyOf, type Reading, type Sent, type Stored } from './findings.ts';
import { checkAuthority, findHidden, type Hidden, hides } from './hidden.ts';
import { type Entry, type FinalState, groupBy, only } from './history.ts';

/**
 * Codes with which streams may end. Causes are a removal, a failed node or database, or a `connection_init` that was
 * not in time (4408). The log is not pruned during a run, so no cursor is too old.
 */
const USUAL_ENDS = /^(NOT_FOUND|INTERNAL_SERVER_ERROR|COMPLETE|HUNG_UP|NO_PONG|NETWORK.*|CLOSED (1\d\d\d|4408|4504))$/;

/** Compares the history with everything that must never happen. Returns the findings. */
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
  for (const { what, who, detail, at } of only(entries, 'crashed', 'undrained', 'leaked'))
    find(what, `${who} at ${seconds(at)}: ${detail}`);
  return findings;
}

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

/** Checks that each message has the same id for every reader. */
function checkIds(entries: readonly Entry[], find: Find): void {
  const ids = new Map<string, string>();
  for (const entry of only(entries, 'acknowledged', 'received')) {
    const known = ids.get(keyOf(entry));
    if (known === undefined) ids.set(keyOf(entry), entry.id);
    else if (known !== entry.id)
      find('diverging', `${entry.who}: ${keyOf(entry)} has the id ${entry.id}, not ${known}`);
  }
}

/**
 * Checks that numbers ascend. Repeats are allowed only over all rooms after a resume, where each room restarts slightly
 * earlier.
 */
function checkOrder(reading: Reading, hidden: readonly Hidden[], find: Find): void {
  const { name, user, ofOneRoom } = reading;
  const mayLookAgain = hidden.some((each) => each.user === user);
  const rooms = new Map<string, { seen: Set<number>; stream: number; top: number; highest: number }>();
  for (const entry of reading.entries) {
    // A reader that resynchronises after RESYNC_REQUIRED receives everything again, partly for the second time.
    if (entry.what === 'began') rooms.clear();
    if (entry.what !== 'received') continue;
    const { room, number, stream } = entry;
    const state = rooms.get(room) ?? { seen: new Set(), stream, top: 0, highest: 0 };
    rooms.set(room, state);
    if (!ofOneRoom && state.stream !== stream) Object.assign(state, { stream, top: 0 });
    const place = `${keyOf(entry)} at ${seconds(entry.at)} on stream ${stream}`;
    if (number <= state.top)
      find(state.seen.has(number) ? 'repeated' : 'misordered', `${name}: ${place}, after ${state.top}`);
    // A message that was hidden at first may be shown later, once a block has been removed.
    else if (!mayLookAgain && number < state.highest && !state.seen.has(number))
      find('misordered', `${name}: ${place}, passed over before ${state.highest} until a resume`);
    state.seen.add(number);
    state.top = Math.max(state.top, number);
    state.highest = Math.max(state.highest, number);
  }
}

function checkContents({ name, user, received }: Reading, stored: ReadonlyMap<string, Stored>, find: Find): void {
  for (const entry of received) {
    if (entry.viewer !== undefined && entry.viewer !== user)
      find('mistaken', `${name}: ${keyOf(entry)} came as ${entry.viewer} sees it`);
    const truth = stored.get(keyOf(entry));
    if (!truth) find('phantom', `${name}: ${keyOf(entry)}, "${shortly(entry.body)}", is not in the database`);
    else if (truth.body !== entry.body)
      find('diverging', `${name}: ${keyOf(entry)} is "${shortly(entry.body)}", stored "${shortly(truth.body)}"`);
  }
}

/**
 * Checks that every message in the database was received, except those hidden at some moment before the reader passed
 * them.
 */
function checkComplete(reading: Reading, final: FinalState, sent: Sent, hidden: readonly Hidden[], find: Find): void {
  const { name, user, entries } = reading;
  for (const room of Object.keys(entries.find((entry) => entry.what === 'began')?.known ?? {})) {
    const seen = new Set<number>();
    /** Ranges of numbers that the reader loaded by queries. */
    const told: [after: number, upTo: number][] = [];
    /** Times at which the reader reached each new highest number. */
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

function shortly(body: string | null): string {
  return body === null ? '' : body.slice(0, 40);
}

function seconds(at: number): string {
  return `${(at / 1_000).toFixed(3)} s`;
}
