import { expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { SharedExecution } from '../src/graphql/sharedExecution.ts';
import { sql } from '../src/platform/database/database.ts';
import { mulberry32 } from './faults/schedule.ts';
import { createAccounts } from './support/accounts.ts';
import type { Person, Stream } from './support/client.ts';
import { ADD, BLOCK, createRoom, DELETE_MESSAGE, FRIEND, LEAVE, MARK_READ, SET_ROLE } from './support/rooms.ts';
import { SEED } from './support/seed.ts';
import { type FieldPath, pathsFrom, selectionOf } from './support/selections.ts';
import { startTestServer, type TestServer, waitForPoll, WIDE_LIMITS } from './support/server.ts';
import { send } from './support/world.ts';

// The events of a subscriber must not depend on the subscribers with whom it shares executions. Each member opens each subscription twice on one
// node: once with shared executions and once without. After each change of a random sequence, both have the same results.

const UNBLOCK = `mutation ($id: ID!) { unblockUser(input: { userId: $id }) { viewer { id } } }`;
const MARK_UNREAD = `mutation ($id: ID!) { markUnread(input: { messageId: $id }) { chatroom { id } } }`;
const EDIT = `mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "edited" }) { message { id } } }`;
const REACT = `mutation ($id: ID!, $emoji: String!) { addReaction(input: { messageId: $id, emoji: $emoji }) { message { id } } }`;
const RENAME = `mutation ($id: ID!, $name: String) { updateChatroom(input: { chatroomId: $id, name: $name }) { chatroom { id } } }`;

/** Number of random changes, after the first message. */
const CHANGES = 16;
/** Number of documents among which the paths of a subscription are distributed. */
const DOCUMENTS = 2;
/** Depth of the paths below each subscription. */
const DEPTH = { MessageAdded: 4, ChatroomEvent: 3, ViewerEvent: 3 };
const ARGS = { message: 'number: 1', searchMessages: 'query: "word"', chatroomWith: 'userId: "x"' };
/** Fields that always read the viewer, so that their events are executed for each subscriber. */
const OWN = /^(viewer|presence|messages|message\(|searchMessages|seenBy|users|member$|incomingWebhooks)/;

/** Returns whether a path always reads the viewer. `Chatroom.attachments` does, and `Message.attachments` does not. */
const isOwn = (path: FieldPath) =>
  path.some(
    ({ field }, i) =>
      OWN.test(field) || (field === 'attachments' && /^(edges|nodes|pageInfo)$/.test(path[i + 1]?.field ?? '')),
  );

/** A subscription, with the documents that select all paths of one kind. */
interface Subscribed {
  field: 'messageAdded' | 'chatroomEvents' | 'viewerEvents';
  ofRoom: boolean;
  query: string;
}

interface Pair {
  person: Person;
  subscribed: Subscribed;
  /** Room of the stream. Null for a stream of all rooms. */
  room: string | null;
  shared: Stream;
  own: Stream;
  /** Number of events that both streams must have received. Not exact for `viewerEvents`, which are conflated. */
  expected: number;
  /** Number of events that have been compared. */
  compared: number;
}

/** Returns subscriptions that together select every path to a field, in a random order. */
function subscriptions(random: () => number, readsViewer: boolean): Subscribed[] {
  const roots = [
    { field: 'messageAdded', type: 'MessageAdded', ofRoom: true },
    { field: 'messageAdded', type: 'MessageAdded', ofRoom: false },
    { field: 'chatroomEvents', type: 'ChatroomEvent', ofRoom: true },
    { field: 'viewerEvents', type: 'ViewerEvent', ofRoom: false },
  ] as const;
  return roots.flatMap(({ field, type, ofRoom }) => {
    // Cursors of all rooms are snapshots, which two streams reach at different times.
    const isComparable = (path: FieldPath) => {
      const [last, parent] = path.toReversed().map((step) => step.field);
      return last !== 'cursor' || (parent !== 'viewer' && (ofRoom || parent !== undefined));
    };
    const paths = pathsFrom(type, DEPTH[type], ARGS)
      .filter((path) => isOwn(path) === readsViewer)
      // A ticket is signed whenever it is read.
      .filter((path) => !path.some(({ field }) => field === 'fileTicket'))
      .filter(isComparable);
    const documents: FieldPath[][] = Array.from({ length: DOCUMENTS }, () => []);
    for (const path of paths) documents[Math.floor(random() * DOCUMENTS)]?.push(path);
    return documents.map((selected) => {
      const root = ofRoom ? `($room: ID!) { ${field}(chatroomId: $room)` : `{ ${field}`;
      return { field, ofRoom, query: `subscription ${root} ${selectionOf(selected)} }` };
    });
  });
}

/** An event of the log, and the users whose blocks hide it. */
interface Logged {
  kind: string;
  seq: number;
  senderId: string | null;
  userId: string | null;
}

async function readLog({ node }: TestServer, room: string, after: number): Promise<Logged[]> {
  return node.database.query<Logged>(sql`
    SELECT e.kind, e.seq, m.sender_id AS "senderId", e.user_id AS "userId" FROM events e
      LEFT JOIN messages m ON m.chatroom_id = e.chatroom_id AND m.number = e.number
      WHERE e.chatroom_id = ${keyOf('Chatroom', room)}::uuid AND e.seq > ${after} ORDER BY e.seq`);
}

test.each([
  ['can be shared', false],
  ['read the viewer', true],
])('fields that %s have equal results with and without sharing', { timeout: 180_000 }, async (_, readsViewer) => {
  const random = mulberry32(SEED);
  const pick = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;
  const server = await startTestServer({
    env: { ...WIDE_LIMITS, SHARED_EXECUTION: 'on', MAX_SUBSCRIPTIONS_PER_SOCKET: '1000' },
  });
  const people = await createAccounts(server.node, server.url, ['ann', 'ben', 'cem', 'dora', 'eve']);
  const [ann, ben, cem, dora, eve] = people as [Person, Person, Person, Person, Person];
  const ids = [ben, cem, dora, eve].map(({ id }) => id);
  // A room without a name, so that its title depends on the viewer.
  const group = await createRoom(ann, { kind: 'GROUP', memberIds: ids });
  const direct = await createRoom(ann, { kind: 'DIRECT', memberIds: [ben.id] });
  await ann.ask(SET_ROLE, { id: group, user: ben.id, role: 'ADMIN' });
  await ben.ask(FRIEND, { id: ann.id });
  await cem.ask(FRIEND, { id: eve.id });
  const members = new Map([
    [group, new Set(people)],
    [direct, new Set([ann, ben])],
  ]);
  const messages: { id: string; by: Person; room: string }[] = [];
  const add = async (by: Person, room: string, more = {}) =>
    messages.push({ ...(await send(by, room, `word ${messages.length}`, more)), by, room });
  await add(ann, group);
  await add(ann, direct);

  const { node } = server;
  const sharing = node.sharedExecution;
  const documents = subscriptions(random, readsViewer);
  const pairs: Pair[] = [];
  for (const person of people) {
    const connection = person.connect();
    for (const subscribed of documents)
      for (const room of subscribed.ofRoom ? [group, direct] : [null]) {
        if (room !== null && !members.get(room)?.has(person)) continue;
        const open = async (through: SharedExecution) => {
          node.sharedExecution = through;
          const stream = connection.subscribe(subscribed.query, { room });
          await stream.ready();
          return stream;
        };
        const own = await open(new SharedExecution({ isEnabled: false }));
        pairs.push({ person, subscribed, room, shared: await open(sharing), own, expected: 0, compared: 0 });
      }
  }
  node.sharedExecution = sharing;
  await waitForPoll(server);

  const blocks = new Set<string>();
  const seqs = new Map<string, number>();
  for (const room of members.keys()) seqs.set(room, (await readLog(server, room, 0)).length);
  const isHidden = (viewer: Person, room: string, { kind, senderId, userId }: Logged) =>
    room !== direct &&
    [senderId, kind === 'REACTIONS_CHANGED' ? userId : null].some((id) =>
      people.some((other) => keyOf('User', other.id) === id && blocks.has(`${viewer.username} ${other.username}`)),
    );

  /** Waits until all streams have received the new events of the logs, and compares the results. */
  async function compare(change: string): Promise<void> {
    for (const room of members.keys()) {
      const events = await readLog(server, room, seqs.get(room) ?? 0);
      seqs.set(room, (seqs.get(room) ?? 0) + events.length);
      for (const pair of pairs) {
        if (!members.get(room)?.has(pair.person) || (pair.room ?? room) !== room) continue;
        const visible = events.filter((event) => !isHidden(pair.person, room, event));
        const added = visible.filter(({ kind }) => kind === 'MESSAGE_ADDED');
        if (pair.subscribed.field !== 'viewerEvents')
          pair.expected += (pair.subscribed.field === 'chatroomEvents' ? visible : added).length;
        else if (added.length > 0) pair.expected = pair.compared + 1;
      }
    }
    const lagging = () =>
      pairs.filter(({ shared, own, expected }) => Math.min(shared.received.length, own.received.length) < expected);
    await expect.poll(() => lagging().length, { message: change }).toBe(0);
    // An event that waits for its moment would otherwise be read by some streams before the next change, and by others after it.
    for (const room of members.keys()) await node.unreadMoments.next(keyOf('Chatroom', room) ?? '');
    await Promise.all(people.map((person) => person.ask('{ viewer { cursor } }')));
    for (const pair of pairs) {
      const { person, subscribed, shared, own } = pair;
      const title = `${change}, for ${person.username}: ${subscribed.query}`;
      if (subscribed.field === 'viewerEvents') {
        const latest = ({ received }: Stream) => Object.fromEntries(received.map((event) => [event.__typename, event]));
        await expect.poll(() => latest(shared), { message: title }).toEqual(latest(own));
      } else expect(shared.received, title).toEqual(own.received);
      pair.compared = Math.min(shared.received.length, own.received.length);
    }
  }

  const counters = node.counters.websocket;
  const before = { ...counters };
  await add(ben, group);
  await compare('the first message');
  // Without a block, the shared streams of a field that can be shared cause no execution for one subscriber.
  const owned = pairs.reduce((sum, { own }) => sum + own.received.length, 0);
  if (!readsViewer) expect(counters.unshared - before.unshared).toBe(owned);
  expect(counters.shared - before.shared).toBeGreaterThan(0);

  const sentTo = (room: string) => messages.filter((each) => each.room === room);
  const lastOf = (by: Person, room: string) => sentTo(room).findLast((each) => each.by === by) ?? pick(sentTo(room));
  const changes: Record<string, (by: Person, room: string) => Promise<unknown>> = {
    send: (by, room) => add(by, room),
    reply: (by, room) => add(by, room, { replyToId: pick(sentTo(room)).id }),
    react: (by, room) => by.ask(REACT, { id: pick(sentTo(room)).id, emoji: pick(['👍', '🎉']) }),
    edit: (by, room) => by.ask(EDIT, { id: lastOf(by, room).id }),
    delete: (by, room) => by.ask(DELETE_MESSAGE, { id: lastOf(by, room).id }),
    read: (by, room) => by.ask(MARK_READ, { id: sentTo(room).at(-1)?.id }),
    unread: (by, room) => by.ask(MARK_UNREAD, { id: sentTo(room)[0]?.id }),
    rename: () => ben.ask(RENAME, { id: group, name: pick(['A', 'B', null]) }),
  };
  const blocking = async (by: Person, other: Person) => {
    const name = `${by.username} ${other.username}`;
    await by.ask(blocks.delete(name) ? UNBLOCK : (blocks.add(name), BLOCK), { id: other.id });
    await waitForPoll(server);
  };
  await blocking(cem, dora);
  await compare('the first block');
  // The reply, the reactions and the last message of the room have parts that cem does not see.
  await add(dora, group);
  await compare('a hidden message');
  await add(ben, group, { replyToId: messages.at(-1)?.id });
  await compare('a reply to a hidden message');
  await dora.ask(REACT, { id: messages[0]?.id, emoji: '👍' });
  await compare('a hidden reaction');
  await ann.ask(EDIT, { id: messages[0]?.id });
  await compare('an edit of a message with a hidden reaction');
  await add(dora, group);
  await compare('a hidden last message');
  await ann.ask(EDIT, { id: messages[0]?.id });
  await compare('an edit before a hidden last message');
  // The block of ben and eve begins and ends.
  for (let i = 0; i < CHANGES; i += 1) {
    if (i % 8 === 4) await blocking(ben, eve);
    const room = pick([group, group, group, direct]);
    const by = pick([...(members.get(room) ?? [])]);
    const name = pick(Object.keys(changes));
    // Some changes are refused: of another user's message, of a deleted one, or of one that a block hides.
    await changes[name]?.(by, room).catch((error: unknown) => {
      expect(String(error)).toMatch(/NOT_FOUND|FORBIDDEN/);
    });
    await compare(`change ${i}, ${name} by ${by.username}`);
  }
  await eve.ask(LEAVE, { id: group });
  members.get(group)?.delete(eve);
  for (const pair of pairs.filter(({ person, room }) => person === eve && room === group)) {
    expect(await pair.shared.ended).toEqual(await pair.own.ended);
    pairs.splice(pairs.indexOf(pair), 1);
  }
  await compare('a member leaves');
  await ann.ask(ADD, { id: group, users: [eve.id] });
  await compare('a member returns');
});
