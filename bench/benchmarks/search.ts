import { openParley } from '../clients/graphql.ts';
import { fillHistories, TEXTS, WORDS } from '../history.ts';
import { historiesOf } from '../world.ts';
import { type Assignment, atMost, type Benchmark, percentile, type Row } from './benchmark.ts';

const LARGEST = 1_000_000;
/** Returns the approximate number of messages that contain a word. */
const expected = (texts: number, largest: number) =>
  Math.round((historiesOf(largest).reduce((sum, { messages }) => sum + messages, 0) * texts) / TEXTS);
const casesOf = (largest: number) =>
  WORDS.map(({ word, texts }) => `${word}, in some ${expected(texts, largest).toLocaleString('en')}`);
const cases = casesOf(LARGEST);
const QUERY = `query ($word: String!) { viewer { searchMessages(query: $word, first: 20) {
  edges { cursor node { id body createdAt sender { id username } } } pageInfo { hasNextPage } } } }`;

export const search: Benchmark = {
  title: 'One word among a million messages',
  about:
    'The newest 20 messages with a word in all rooms of a user, by the number of matches. 99th percentile, one search after another.',
  unit: 'ms, p99',
  better: 'less',
  stacks: ['parley'],
  runs: (quick) => [{ warmUps: quick ? 20 : 50, requests: quick ? 40 : 200, largest: LARGEST }],
  enoughRounds: 1,
  prepare: fillHistories,
  load,
  goals: [atMost(50, cases, 'p99 at most 50 ms, for each word')],
};

async function load({ urls, params }: Assignment): Promise<Row[]> {
  const { warmUps = 0, requests = 0, largest = 0 } = params;
  const { ask } = await openParley(urls[0] ?? '', 1);
  const times = WORDS.map((): number[] => []);
  for (let i = 0; i < warmUps + requests; i += 1)
    for (const [place, { word, texts }] of WORDS.entries()) {
      const began = performance.now();
      const answer = await ask(QUERY, { word });
      if (i >= warmUps) times[place]?.push(performance.now() - began);
      const found = answer.match(/"body":"[^"]*/g) ?? [];
      const most = expected(texts, largest) > 25 ? 20 : 1;
      if (found.length < most || !found.every((body) => body.includes(word)))
        throw new Error(`The search for ${word} returned: ${answer.slice(0, 300)}`);
    }
  return casesOf(largest).map((of, place) => {
    const measured = times[place] ?? [];
    return { case: of, value: percentile(measured, 99), more: { p50: percentile(measured, 50) } };
  });
}
