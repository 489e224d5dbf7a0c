import { readFileSync } from 'node:fs';
import { type DocumentNode, type FragmentDefinitionNode, Kind, parse, print, visit } from 'graphql';
import { expect, test } from 'vitest';
import { documentsOf } from '../client/react/documents.ts';
import { createAccounts } from './support/accounts.ts';
import { type Person, type Stream } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send } from './support/world.ts';

// Cost of a message while members have the chat page of examples/web open, with the subscriptions and selections of that page.

const parts = parse(
  readFileSync(`${import.meta.dirname}/../examples/web/src/documents/parts.graphql`, 'utf8'),
).definitions;
/** Returns a fragment of the page with the fragments that it uses. */
function fragment(name: string): DocumentNode {
  const found = new Map<string, FragmentDefinitionNode>();
  const add = (wanted: string) => {
    const definition = parts.find((each) => each.kind === Kind.FRAGMENT_DEFINITION && each.name.value === wanted);
    if (found.has(wanted) || definition?.kind !== Kind.FRAGMENT_DEFINITION) return;
    found.set(wanted, definition);
    visit(definition, { FragmentSpread: (spread) => add(spread.name.value) });
  };
  add(name);
  return { kind: Kind.DOCUMENT, definitions: [...found.values()] };
}

const documents = documentsOf({
  message: fragment('MessageFields'),
  room: fragment('RoomFields'),
  user: fragment('PersonFields'),
});
const MARK = print(documents.markRead);

interface OpenPage {
  person: Person;
  anyMessage: Stream;
  viewerEvents: Stream;
  roomEvents: Stream;
  seen: Stream;
}

async function openPage(person: Person, room: string): Promise<OpenPage> {
  const { viewer } = await person.ask('{ viewer { cursor } }');
  const connection = person.connect();
  const open = (document: any, variables: object = {}) => connection.subscribe(print(document), variables);
  const page = {
    person,
    anyMessage: open(documents.anyMessage, { after: viewer.cursor }),
    viewerEvents: open(documents.viewerEvents, { after: viewer.cursor }),
    roomEvents: open(documents.roomEvents, { chatroomId: room, last: 1 }),
    seen: open(documents.seen, { chatroomId: room }),
  };
  open(documents.presence);
  open(documents.typing, { chatroomId: room });
  await page.anyMessage.ready();
  return page;
}

interface Cost {
  statements: string[];
  /** Number of executions of events, shared or for one subscriber. */
  executions: number;
}

/** Returns what one message costs in a room whose members have the page open, until all their streams have it. */
async function costOf(members: number): Promise<Cost> {
  const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
  const names = Array.from({ length: members }, (_, i) => `member${i}`);
  const people = await createAccounts(server.node, server.url, names);
  const [sender, ...others] = people as [Person, ...Person[]];
  const input = { kind: 'GROUP', name: 'A room', memberIds: others.slice(0, 100).map(({ id }) => id) };
  const { createChatroom } = await sender.ask(CREATE_CHATROOM, { input });
  const room = createChatroom.chatroom.id as string;
  const pages: OpenPage[] = [];
  for (const person of people) pages.push(await openPage(person, room));

  const unreadOf = ({ viewerEvents }: OpenPage) => viewerEvents.received.at(-1)?.unreadCount;
  const countExecutions = () => server.node.counters.websocket.shared + server.node.counters.websocket.unshared;
  /** Returns the cost between a send and the arrival of the message and its unread count on every page. */
  const sendOnce = async () => {
    const before = countExecutions();
    server.statements();
    const { id, number } = await send(sender, room, 'hello');
    const reached = ({ anyMessage, roomEvents }: OpenPage) =>
      anyMessage.received.at(-1)?.message.number === number && roomEvents.received.at(-1)?.message?.number === number;
    await expect.poll(() => pages.filter((page) => !reached(page)).length).toBe(0);
    await expect.poll(() => pages.slice(1).filter((page) => unreadOf(page) !== 1).length).toBe(0);
    const cost = { statements: server.statements({ sessionChecks: true }), executions: countExecutions() - before };
    await Promise.all(others.map((person) => person.ask(MARK, { messageId: id })));
    await expect.poll(() => pages.slice(1).filter((page) => unreadOf(page) !== 0).length).toBe(0);
    await expect.poll(() => pages[0]?.seen.received.at(-1)?.message.number).toBe(number);
    return cost;
  };
  // The first message also plans and validates the operations.
  await sendOnce();
  return sendOnce();
}

test.each([
  [5, 12],
  [50, 15],
])(
  'a message to %i open pages costs at most %i statements and 6 executions',
  { timeout: 120_000 },
  async (members, most) => {
    const { statements, executions } = await costOf(members);
    const texts = statements.map((text) => text.replace(/\s+/g, ' ').slice(0, 160));
    expect(statements.length, texts.join('\n')).toBeLessThanOrEqual(most);
    expect(executions).toBeLessThanOrEqual(6);
  },
);
