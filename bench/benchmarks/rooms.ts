import { openParley } from '../clients/graphql.ts';
import { LISTERS } from '../world.ts';
import { type Assignment, type Benchmark, percentile, type Row } from './benchmark.ts';

const name = (rooms: number) => `of ${rooms.toLocaleString('en')} rooms`;
const cases = LISTERS.map(({ rooms }) => name(rooms));
const QUERY = `{ viewer { chatrooms(first: 20) {
  nodes { id kind name unreadCount lastMessage { number body createdAt sender { id username nickname } } }
  pageInfo { hasNextPage endCursor } } } }`;

export const rooms: Benchmark = {
  title: 'List of rooms',
  about:
    'First page of the viewer’s chatrooms with last messages and unread counts, most recently active first, for users with 10, 100 and 1,000 rooms. The page has 10 or 20 rooms.',
  unit: 'ms',
  better: 'less',
  stacks: ['parley'],
  runs: (quick) => [{ warmUps: quick ? 100 : 300, requests: quick ? 50 : 300 }],
  enoughRounds: 1,
  load,
  goals: [
    {
      text: '1,000 rooms take at most 1.3 times as long as 10',
      reached(median) {
        const values = cases.flatMap((of) => median('parley', of) ?? []);
        return values.length === 0 ? null : Math.max(...values) <= 1.3 * Math.min(...values);
      },
    },
  ],
};

async function load({ urls, params }: Assignment): Promise<Row[]> {
  const { warmUps = 0, requests = 0 } = params;
  const askers = await Promise.all(LISTERS.map(({ user }) => openParley(urls[0] ?? '', user)));
  const times = LISTERS.map((): number[] => []);
  for (let i = 0; i < warmUps + requests; i += 1)
    for (const [place, { ask }] of askers.entries()) {
      const began = performance.now();
      const answer = await ask(QUERY);
      if (i >= warmUps) times[place]?.push(performance.now() - began);
      const count = answer.match(/"kind"/g)?.length;
      if (count !== Math.min(20, LISTERS[place]?.rooms ?? 0)) throw new Error(`The list has ${count ?? 0} rooms.`);
    }
  return cases.map((of, place) => {
    const measured = times[place] ?? [];
    return { case: of, value: percentile(measured, 50), more: { p99: percentile(measured, 99) } };
  });
}
