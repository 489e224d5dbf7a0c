import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createAccounts } from './support/accounts.ts';
import type { Person, Stream } from './support/client.ts';
import { attach, PNG } from './support/files.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createRoom } from './support/rooms.ts';
import { startTestNodes, startTestServer, type TestServer } from './support/server.ts';
import { SEND } from './support/world.ts';

// A client builds its state from a snapshot and the events that follow. Users write at the moment of the subscription, on
// any node. The state must become what a new query returns, and no event may repeat what the snapshot contains.

const MESSAGE =
  'number body editedAt deletedAt sender { id } reactions { emoji count viewerHasReacted } attachments { id state }';
const ROOM_FIELDS = 'name avatar { url }';
const MESSAGES = `messages(last: 100) { nodes { ${MESSAGE} } }`;
const ROOM = `subscription ($id: ID!, $after: String) { chatroomEvents(chatroomId: $id, after: $after, snapshot: true) {
  __typename cursor
  ... on RoomSnapshot { chatroom { ${ROOM_FIELDS} ${MESSAGES} } }
  ... on MessageAdded { message { ${MESSAGE} } }
  ... on MessageEdited { message { ${MESSAGE} } }
  ... on MessageDeleted { message { ${MESSAGE} } }
  ... on ReactionsChanged { message { ${MESSAGE} } }
  ... on AttachmentsChanged { message { ${MESSAGE} } }
  ... on ChatroomUpdated { chatroom { ${ROOM_FIELDS} } }
} }`;
const QUERY = `query ($id: ID!) { chatroom(id: $id) { ${ROOM_FIELDS} ${MESSAGES} } }`;
const EDIT = `mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { id } } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const UNREACT = `mutation ($id: ID!) { removeReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const RENAME = `mutation ($id: ID!, $name: String) { updateChatroom(input: { chatroomId: $id, name: $name }) { chatroom { id } } }`;
const SET_AVATAR = `mutation ($id: ID!, $image: ID) { setChatroomAvatar(input: { chatroomId: $id, attachmentId: $image }) { chatroom { id } } }`;
const call = (name: string) => `mutation ($id: ID!) { ${name}(input: { userId: $id }) { viewer { id } } }`;

/** Time after which a property stops with the cases that it has tried, in milliseconds. */
const TIME_LIMIT_MS = 25_000;
const limits = { numRuns: 15, interruptAfterTimeLimit: TIME_LIMIT_MS, endOnFailure: true };

interface RoomState {
  name: string | null;
  avatar: { url: string } | null;
  messages: Record<number, object>;
}

const stateOf = ({ name, avatar, messages }: any): RoomState => ({
  ...{ name, avatar },
  messages: Object.fromEntries(messages.nodes.map((message: { number: number }) => [message.number, message])),
});

/** Returns the messages, names and avatars in which two states differ. */
function diff(built: RoomState, queried: RoomState): unknown[] {
  const numbers = Object.keys({ ...built.messages, ...queried.messages }).map(Number);
  const pairs = [
    [built.name, queried.name],
    [built.avatar, queried.avatar],
    ...numbers.map((n) => [built.messages[n], queried.messages[n]]),
  ];
  return pairs.filter(([a, b]) => !isDeepStrictEqual(a, b));
}

/** A client that shows a room. */
class Page {
  state: RoomState = { name: null, avatar: null, messages: {} };
  #stream: Stream;
  #applied = 0;
  readonly #viewer: Person;
  readonly #id: string;
  #cursor: string | undefined;

  constructor(viewer: Person, id: string) {
    [this.#viewer, this.#id] = [viewer, id];
    this.#stream = viewer.connect().subscribe(ROOM, { id });
  }

  /** Applies the events received so far. */
  update(): RoomState {
    for (const event of this.#stream.received.slice(this.#applied)) this.#apply(event);
    this.#applied = this.#stream.received.length;
    return this.state;
  }

  /** Disconnects, and resumes from the last cursor at another node. */
  resume(url: string): void {
    this.update();
    this.#stream.stop();
    // An event that arrives after the stop is received again.
    this.#applied = 0;
    this.#stream = this.#viewer.at(url).connect().subscribe(ROOM, { id: this.#id, after: this.#cursor });
  }

  #apply({ __typename: type, cursor, chatroom, message }: any): void {
    this.#cursor = cursor;
    if (type === 'RoomSnapshot') this.state = stateOf(chatroom);
    if (type === 'ChatroomUpdated') Object.assign(this.state, { name: chatroom.name, avatar: chatroom.avatar });
    if (type === 'MessageAdded' && message.number in this.state.messages)
      throw new Error(`Message ${message.number} is repeated.`);
    if (message) this.state.messages[message.number] = message;
  }
}

const index = fc.nat({ max: 9 });
const action = fc.record({
  kind: fc.oneof(
    { weight: 5, arbitrary: fc.constant('send' as const) },
    { weight: 5, arbitrary: fc.constantFrom('edit', 'delete', 'react', 'unreact', 'rename', 'attach', 'avatar') },
  ),
  index,
});
const viewerAction = fc.record({
  kind: fc.oneof(
    { weight: 4, arbitrary: fc.constant('open' as const) },
    { weight: 4, arbitrary: fc.constantFrom('send', 'react', 'block', 'unblock', 'resume') },
  ),
  index,
});
const history = fc.record({
  writers: fc.array(fc.array(action, { minLength: 2, maxLength: 10 }), { minLength: 2, maxLength: 2 }),
  viewer: fc.array(viewerAction, { minLength: 2, maxLength: 8 }),
});

type History = typeof history extends fc.Arbitrary<infer Value> ? Value : never;

/** Runs one history in a new room. Returns the pages that the viewer opened. */
async function play(servers: TestServer[], people: Person[], { writers, viewer: steps }: History) {
  const at = (person: Person, i: number) => person.at(servers[i % servers.length]?.url ?? '');
  const [viewer, ...others] = people as [Person, Person, Person];
  for (const other of others) await viewer.ask(call('unblockUser'), { id: other.id });
  const id = await createRoom(others[0], { kind: 'GROUP', name: 'A room', memberIds: people.map((each) => each.id) });
  const sent: string[] = [];
  const pages: Page[] = [];
  let hasBlocked = false;
  let pictures = 0;
  // Equal files that are uploaded at the same time would be one upload.
  const picture = () => ({ ...PNG, fileName: `${(pictures += 1)}.png` });

  async function write(person: Person, { kind, index }: { kind: string; index: number }, own: string[]): Promise<void> {
    const by = at(person, index);
    if (kind === 'send' || kind === 'attach') {
      // The picture is processed after the send.
      const attachmentIds = kind === 'attach' ? [(await attach(by, picture())).id] : [];
      const { sendMessage } = await by.ask(SEND, {
        input: { chatroomId: id, body: `message ${index}`, attachmentIds },
      });
      own.push(sendMessage.message.id);
      sent.push(sendMessage.message.id);
    }
    if (kind === 'rename') await at(others[0], index).ask(RENAME, { id, name: `Room ${index}` });
    if (kind === 'avatar') {
      const owner = at(others[0], index);
      await owner.ask(SET_AVATAR, { id, image: (await attach(owner, { ...picture(), purpose: 'AVATAR' })).id });
    }
    const [mine, any] = [own[index % own.length], sent[index % sent.length]];
    if (kind === 'delete' && mine !== undefined) await by.ask(DELETE, { id: mine });
    // The message may have been deleted, which refuses the change.
    if (kind === 'edit' && mine !== undefined) await by.connect().ask(EDIT, { id: mine, body: `edited ${index}` });
    if (kind === 'react' && any !== undefined) await by.connect().ask(REACT, { id: any });
    if (kind === 'unreact' && any !== undefined) await by.connect().ask(UNREACT, { id: any });
  }

  async function view({ kind, index }: { kind: string; index: number }): Promise<void> {
    const other = { id: others[index % others.length]?.id };
    if (kind === 'open') pages.push(new Page(at(viewer, index), id));
    // A block during a disconnect is reported by `viewerEvents` and not by the room.
    if (kind === 'resume' && !hasBlocked) pages[index % pages.length]?.resume(at(viewer, index + 1).url);
    if (kind === 'block' || kind === 'unblock') {
      hasBlocked = true;
      await at(viewer, index).ask(call(`${kind}User`), other);
    } else await write(viewer, { kind, index }, []);
  }

  const lanes = writers.map(async (actions, i) => {
    const own: string[] = [];
    for (const each of actions) await write(others[i] as Person, each, own);
  });
  lanes.push(
    (async () => {
      for (const step of steps) await view(step);
    })(),
  );
  await Promise.all(lanes);
  pages.push(new Page(viewer, id));
  for (const page of pages) {
    await expect.poll(async () => diff(page.update(), stateOf((await viewer.ask(QUERY, { id })).chatroom))).toEqual([]);
  }
}

test('one node: snapshot and events lead to what a query returns', { timeout: 120_000 }, async () => {
  const server = await startTestServer();
  const people = await createAccounts(server.node, server.url, ['ann', 'ben', 'cem']);
  await fc.assert(
    fc.asyncProperty(history, (each) => play([server], people, each)),
    limits,
  );
});

describe.skipIf(!hasRedis())('two nodes with Redis', () => {
  test('snapshot and events lead to what a query returns', { timeout: 120_000 }, async () => {
    const servers = await startTestNodes((await startRedis()).url);
    const people = await createAccounts(servers[0].node, servers[0].url, ['ann', 'ben', 'cem']);
    await fc.assert(
      fc.asyncProperty(history, (each) => play(servers, people, each)),
      limits,
    );
  });
});
