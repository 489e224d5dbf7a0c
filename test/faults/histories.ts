import { check } from './checker.ts';
import type { Entry, FinalState } from './history.ts';

/* Small histories by hand. Ann writes to a room, and Ben reads it. */

export type Steps = [at: number, what: Entry['what'], more?: Record<string, unknown>][];

export const stored = (number: number, more: Partial<FinalState['messages'][number]> = {}) => ({
  ...{ room: 'room', number, sender: 'ann', clientMessageId: `ann:${number}`, body: `ann:${number}` },
  ...more,
});

export const finalState = (messages: FinalState['messages'], last = messages.length): FinalState => ({
  messages,
  lastNumbers: { room: last },
});

/** Ann sends 1, 2, 3 … at 100, 200, 300 …. Each message is acknowledged 10 ms later. */
export function sends(count: number): Steps {
  return Array.from({ length: count }, (_, i) => i + 1).flatMap((number): Steps => {
    const about = { who: 'ann', room: 'room', clientMessageId: `ann:${number}` };
    return [
      [number * 100, 'sending', { ...about, body: `ann:${number}` }],
      [number * 100 + 10, 'acknowledged', { ...about, number, id: `id ${number}` }],
    ];
  });
}

export const began = (who = 'ben', ofOneRoom = true): Steps => [
  [0, 'began', { who, user: 'ben', ofOneRoom, known: { room: 0 } }],
];

export const receives = (numbers: number[], more: object = {}, from = 20): Steps =>
  numbers.map((number, i) => [
    from + 100 * (i + 1),
    'received',
    {
      ...{ who: 'ben', room: 'room', stream: 1, number, id: `id ${number}`, body: `ann:${number}`, cursor: '' },
      ...more,
    },
  ]);

export function kindsFound(steps: Steps, final: FinalState): string[] {
  const entries = steps.map(([at, what, more]) => ({ at, who: 'somebody', what, ...more }) as Entry);
  return [
    ...new Set(
      check(
        entries.sort((a, b) => a.at - b.at),
        final,
      ).map((finding) => finding.kind),
    ),
  ];
}

export const three = finalState([1, 2, 3].map((number) => stored(number)));
export const four = finalState([1, 2, 3, 4].map((number) => stored(number)));
export const removal = (at: number): Steps => [
  [at, 'removing', { room: 'room', user: 'ben' }],
  [at + 10, 'removed', { room: 'room', user: 'ben' }],
];
export const addition = (at: number): Steps => [
  [at, 'adding', { room: 'room', user: 'ben' }],
  [at + 10, 'added', { room: 'room', user: 'ben' }],
];
export const block = (at: number): Steps => [
  [at, 'blocking', { user: 'ben', whom: 'ann' }],
  [at + 10, 'blocked', { user: 'ben', whom: 'ann' }],
];
export const unblock = (at: number): Steps => [
  [at, 'unblocking', { user: 'ben', whom: 'ann' }],
  [at + 10, 'unblocked', { user: 'ben', whom: 'ann' }],
];
export const fault = (kind: string, at: number, until: number): Steps => [[at, 'fault', { kind, until }]];
