import { type DocumentNode, print } from 'graphql';
import { documentsOf } from '../../client/react/documents.ts';
import { backoff, wait } from '../../client/wait.ts';
import { friendSelection, messageSelections, personSelection, roomSelection } from '../../examples/web/src/chat.ts';
import { bearer, roomId } from '../world.ts';
import { type Asker, type GraphQLSocket, openGraphQL, openParley, parley } from './graphql.ts';
import { openHttp } from './http.ts';
import type { PageClient, PageListener } from './page.ts';

/** Number of rooms in the list of the page, as in client/react/rooms.ts. */
const ROOMS_PER_PAGE = 50;

/** Number of failures after which a page gives up, so that a run does not last for ever. */
const MAX_FAILURES = 20;

/** The documents of the page's hooks (examples/web/src: Chat.tsx, Room.tsx and History.tsx), with the page's selections. */
const list = documentsOf(roomSelection);
const room = documentsOf(messageSelections);
const people = documentsOf(friendSelection);
const marks = documentsOf(personSelection);

/** Queries that the page sends. */
const queries = { rooms: list.rooms, readMarks: marks.readMarks };
/** Subscriptions of the page. The id of each on the socket is its index in this list. */
const subscriptions = [
  list.anyMessage,
  list.viewerEvents,
  people.presence,
  room.roomEvents,
  room.typing,
  room.seen,
  marks.readMarksChanged,
];
const [ANY_MESSAGE, VIEWER_EVENTS, PRESENCE, ROOM_EVENTS, TYPING, SEEN, READ_MARKS] = subscriptions.keys();
export const SUBSCRIPTIONS = subscriptions.length;

const textOf = (document: unknown) => print(document as DocumentNode);
const texts = {
  ...{ rooms: textOf(queries.rooms), readMarks: textOf(queries.readMarks) },
  ...{ markRead: textOf(room.markRead), subscriptions: subscriptions.map(textOf) },
};

/** Lists the operations, then each fragment once. */
function describe(): string {
  const documents = [...subscriptions, ...Object.values(queries), room.markRead] as unknown as DocumentNode[];
  const definitions = new Set(documents.flatMap(({ definitions: all }) => all.map((each) => print(each))));
  const lines = [...definitions].map((text) => `  ${text.replace(/\s+/g, ' ')}`);
  return lines.sort((a, b) => Number(a.startsWith('  fragment')) - Number(b.startsWith('  fragment'))).join('\n');
}

export const parleyPage: PageClient = {
  selects: describe(),
  async open(url, user, options, listener) {
    const [lists, details] = [await openParley(url, user), await openParley(url, user)];
    const files = openHttp(url, { authorization: await bearer(user) });
    let loading: Promise<unknown> = Promise.resolve();
    // A browser loads the images of a message once it shows the message.
    const loadImage = (path: string) => {
      loading = loading
        .then(() => files.request('GET', path))
        .then(
          () => {
            listener.onImage();
          },
          (error: unknown) => {
            listener.onRetry(error as Error);
          },
        );
    };
    const chatroomId = roomId(options.room);
    const query = (asker: Asker, text: string, variables: object) => retry(listener, () => asker.ask(text, variables));
    let onCaughtUp: () => void = () => undefined;
    const caughtUp = new Promise<void>((resolve) => (onCaughtUp = resolve));
    const streams = createStreams(listener, onCaughtUp, loadImage);
    const opening = retry(listener, () => openGraphQL(parley, url, user, streams.read));
    const subscribe = async (index: number | undefined, variables: object) => {
      if (index !== undefined && index < options.subscriptions) streams.subscribe(await opening, index, variables);
    };
    async function openList(): Promise<void> {
      const after = viewerCursorIn(await query(lists, texts.rooms, { first: ROOMS_PER_PAGE }));
      await subscribe(ANY_MESSAGE, { after });
      await subscribe(VIEWER_EVENTS, { after });
    }
    async function openRoom(): Promise<void> {
      await subscribe(ROOM_EVENTS, { chatroomId, last: options.messages, after: null });
      for (const hints of [TYPING, SEEN, READ_MARKS]) await subscribe(hints, { chatroomId });
      if (options.subscriptions === SUBSCRIPTIONS) await query(details, texts.readMarks, { chatroomId });
    }
    await Promise.all([subscribe(PRESENCE, {}), openList(), openRoom(), caughtUp]);
    const socket = await opening;
    void socket.closed.then((why) => {
      listener.onFailed(new Error(`A page lost its connection: ${why}`));
    });
    return {
      markRead: (messageId) => details.ask(texts.markRead, { messageId }),
      close() {
        for (const connection of [socket, lists, details, files]) connection.close();
      },
    };
  },
};

/**
 * Creates the subscriptions of a page. Like the client, subscribes again after a failure, from the last cursor, and drops the
 * messages that the stream over all rooms then repeats.
 */
function createStreams(listener: PageListener, onCaughtUp: () => void, loadImage: (path: string) => void) {
  const open: { socket: GraphQLSocket; variables: { after?: string | null }; failures: number }[] = [];
  let latest = 0;

  function subscribe(socket: GraphQLSocket, index: number, variables: object): void {
    open[index] = { socket, variables, failures: 0 };
    socket.subscribe(variables, texts.subscriptions[index], String(index));
  }

  async function subscribeAgain(index: number, text: string): Promise<void> {
    const stream = open[index];
    const error = new Error(`A page received: ${text.slice(0, 400)}`);
    if (!stream || (stream.failures += 1) > MAX_FAILURES) {
      listener.onFailed(error);
      return;
    }
    listener.onRetry(error);
    await wait(backoff(stream.failures));
    stream.socket.subscribe(stream.variables, texts.subscriptions[index], String(index));
  }

  /** Reads a frame, which begins with `{"id":"0","type":"next"`. */
  function read(bytes: Buffer, start: number, end: number): void {
    const text = bytes.toString('utf8', start, end);
    if (!text.startsWith('{"id"')) return;
    const index = Number(text[7]);
    if (!text.startsWith('","type":"next"', 8) || text.includes('"errors":')) {
      void subscribeAgain(index, text);
      return;
    }
    listener.onEvent();
    const stream = open[index];
    const [, cursor] = /"cursor":"([^"]+)"/.exec(text) ?? [];
    if (stream?.variables.after !== undefined && cursor !== undefined)
      stream.variables = { ...stream.variables, after: cursor };
    if (index === ROOM_EVENTS && /"(?:CaughtUp|RoomSnapshot)"/.test(text)) onCaughtUp();
    if (index !== ANY_MESSAGE && index !== ROOM_EVENTS) return;
    // In both streams, the number of the message follows its id, before the fields of the quoted message.
    const at = text.lastIndexOf('"message":{');
    const [, id, digits] = (at >= 0 && /"id":"([^"]+)","number":(\d+)/.exec(text.slice(at))) || [];
    const number = Number(digits);
    if (id === undefined || (index === ANY_MESSAGE && number <= latest)) return;
    if (index === ANY_MESSAGE) latest = number;
    listener.onMessage(index === ROOM_EVENTS ? 'room' : 'list', { id, number }, text);
    const [, image] = (index === ROOM_EVENTS && /"(\/files\/[^"]+\/preview)"/.exec(text)) || [];
    if (image !== undefined) loadImage(image);
  }

  return { subscribe, read };
}

/** Repeats a request after a failure, with the pauses of the client. */
async function retry<Result>(listener: PageListener, work: () => Promise<Result>): Promise<Result> {
  for (let failures = 1; ; failures += 1)
    try {
      return await work();
    } catch (error) {
      if (failures > MAX_FAILURES) throw error;
      listener.onRetry(error as Error);
      await wait(backoff(failures));
    }
}

function viewerCursorIn(answer: string): string {
  const { data } = JSON.parse(answer) as { data: { viewer: { cursor: string } | null } };
  if (!data.viewer) throw new Error(`The page found no viewer: ${answer.slice(0, 300)}`);
  return data.viewer.cursor;
}
