import { openHttp } from '../clients/http.ts';
import { openParley } from '../clients/graphql.ts';
import { fillHistories } from '../history.ts';
import { historiesOf, roomId } from '../world.ts';
import { type Assignment, type Benchmark, percentile, type Row } from './benchmark.ts';

const PAGE = 50;
const PLACES = ['last', 'middle', 'first'] as const;
const name = (messages: number, place: string) => `${messages.toLocaleString('en')} messages, ${place} page`;
const LARGEST = 1_000_000;
const casesOf = (largest: number) =>
  historiesOf(largest).flatMap(({ messages }) => PLACES.map((place) => name(messages, place)));
const cases = casesOf(LARGEST);

const QUERY = `query ($room: ID!, $last: Int, $first: Int, $before: String) {
  chatroom(id: $room) { messages(last: $last, first: $first, before: $before) {
    nodes { id number body createdAt sender { id username nickname } } pageInfo { hasPreviousPage startCursor } } } }`;
const CURSOR = 'query ($room: ID!, $number: Int!) { chatroom(id: $room) { message(number: $number) { cursor } } }';

export const history: Benchmark = {
  title: 'Pages of a history',
  about: `Median time of a page of ${PAGE} messages with their senders, one request after another. The bare server runs one SELECT and JSON.stringify.`,
  unit: 'ms',
  better: 'less',
  stacks: ['parley', 'bare'],
  runs: (quick) => [{ warmUps: quick ? 50 : 100, requests: quick ? 50 : 300, largest: LARGEST }],
  enoughRounds: 1,
  prepare: fillHistories,
  load,
  goals: [
    {
      text: 'the slowest page takes at most 1.2 times the fastest, for any size and depth',
      reached(median) {
        const values = cases.flatMap((of) => median('parley', of) ?? []);
        return values.length === 0 ? null : Math.max(...values) <= 1.2 * Math.min(...values);
      },
    },
    {
      text: 'at most 2.5 times one SELECT with JSON.stringify',
      reached(median) {
        const ratios = cases.flatMap((of) => {
          const [own, bare] = [median('parley', of), median('bare', of)];
          return own === null || bare === null ? [] : [own / bare];
        });
        return ratios.length === 0 ? null : ratios.every((ratio) => ratio <= 2.5);
      },
    },
  ],
};

/** Loads a page, and checks that it is the expected one. */
type Ask = () => Promise<void>;

async function load({ stack, urls, params }: Assignment): Promise<Row[]> {
  const { warmUps = 0, requests = 0, largest = 0 } = params;
  const asks = await (stack === 'parley' ? askParley : askBare)(urls[0] ?? '', largest);
  const times = asks.map((): number[] => []);
  // Alternates between pages, so that other load on the machine affects all equally.
  for (let i = 0; i < warmUps + requests; i += 1)
    for (const [place, ask] of asks.entries()) {
      const began = performance.now();
      await ask();
      if (i >= warmUps) times[place]?.push(performance.now() - began);
    }
  return casesOf(largest).map((of, place) => {
    const measured = times[place] ?? [];
    return { case: of, value: percentile(measured, 50), more: { p99: percentile(measured, 99) } };
  });
}

/** Returns the number of the first message of each page. */
const firstOf = (messages: number) => ({ last: messages - PAGE + 1, middle: messages / 2 - PAGE + 1, first: 1 });

async function askParley(url: string, largest: number): Promise<Ask[]> {
  const { ask } = await openParley(url, 1);
  const asks: Ask[] = [];
  for (const { room, messages } of historiesOf(largest)) {
    const answer = await ask(CURSOR, { room: roomId(room), number: messages / 2 + 1 });
    const before = (JSON.parse(answer) as { data: { chatroom: { message: { cursor: string } } } }).data.chatroom.message
      .cursor;
    const pages = { last: { last: PAGE }, middle: { last: PAGE, before }, first: { first: PAGE } };
    for (const place of PLACES)
      asks.push(async () => {
        const page = await ask(QUERY, { room: roomId(room), ...pages[place] });
        check(page.match(/"number":\d+/g)?.length, page.includes(`"number":${firstOf(messages)[place]},`), page);
      });
  }
  return asks;
}

function askBare(url: string, largest: number): Ask[] {
  const http = openHttp(url, { authorization: '1' });
  return historiesOf(largest).flatMap(({ room, messages }) =>
    PLACES.map((place) => async () => {
      const id = room * 10_000_000 + firstOf(messages)[place];
      const page = await http.request('GET', `/?room=${room}${place === 'last' ? '' : `&before=${id + PAGE}`}`);
      check(page.match(/"roomId"/g)?.length, page.includes(`"id":"${id}"`), page);
    }),
  );
}

function check(count: number | undefined, isRight: boolean, page: string): void {
  if (count !== PAGE || !isRight) throw new Error(`The server returned another page: ${page.slice(0, 300)}`);
}
