import { describe, expect, test } from 'vitest';
import {
  addition,
  began,
  block,
  fault,
  finalState,
  four,
  kindsFound,
  receives,
  removal,
  sends,
  stored,
  three,
  type Steps,
  unblock,
} from './histories.ts';
import type { FinalState } from './history.ts';

const allRooms = { stream: 2 };
/** Histories with a fault that the checker must find, and similar histories without a fault. */
const planted: [name: string, kind: string, dirty: [Steps, FinalState], clean: [Steps, FinalState]][] = [
  [
    'a message that a member never receives',
    'lost',
    [[...sends(3), ...began(), ...receives([1, 3])], three],
    [[...sends(3), ...began(), ...receives([1, 2, 3])], three],
  ],
  [
    'a hidden message after unblocking, but none during the block',
    'lost',
    [[...sends(3), ...began(), ...receives([1, 3]), ...block(110), ...unblock(150)], three],
    [[...sends(3), ...began(), ...receives([1, 3]), ...block(190), ...unblock(250)], three],
  ],
  [
    'a missing acknowledged message, but no missing unacknowledged one',
    'lost',
    [[...sends(3), ...began(), ...receives([1, 2])], finalState([stored(1), stored(2)])],
    [
      [...sends(2), [300, 'sending', { clientMessageId: 'ann:3', room: 'room', body: 'x' }]],
      finalState([stored(1), stored(2)]),
    ],
  ],
  [
    'a received message that is not in the database',
    'phantom',
    [[...sends(3), ...began(), ...receives([1, 2, 3, 4])], three],
    [[...sends(4), ...began(), ...receives([1, 2, 3, 4])], four],
  ],
  [
    'a stored message without a sender, except SYSTEM messages',
    'phantom',
    [sends(2), three],
    [sends(2), finalState([stored(1), stored(2), stored(3, { sender: null, clientMessageId: null, body: null })])],
  ],
  [
    'a stored refused message, but no message of unknown outcome',
    'phantom',
    [[...sends(1), [110, 'refused', { clientMessageId: 'ann:1', code: 'NOT_FOUND' }]], finalState([stored(1)])],
    [[...sends(1), [110, 'unknown', { clientMessageId: 'ann:1', code: 'NOT_FOUND' }]], finalState([stored(1)])],
  ],
  [
    'a repeated number in a room, even after a resume',
    'repeated',
    [[...sends(3), ...began(), ...receives([1, 2]), ...receives([2, 3], { stream: 2 }, 200)], three],
    [[...sends(3), ...began(), ...receives([1, 2]), ...receives([3], { stream: 2 }, 300)], three],
  ],
  [
    'a repeated number on one all-rooms stream, except after a resume',
    'repeated',
    [[...sends(3), ...began('ben', false), ...receives([1, 2, 2, 3])], three],
    [[...sends(3), ...began('ben', false), ...receives([1, 2]), ...receives([1, 2, 3], allRooms, 300)], three],
  ],
  [
    'descending numbers',
    'misordered',
    [[...sends(3), ...began(), ...receives([2, 1, 3])], three],
    [[...sends(3), ...began(), ...receives([1, 2, 3])], three],
  ],
  [
    'a skipped message that an all-rooms stream delivers after a resume',
    'misordered',
    [[...sends(3), ...began('ben', false), ...receives([1, 3]), ...receives([2, 3], allRooms, 300)], three],
    [[...sends(3), ...began('ben', false), ...receives([1]), ...receives([2, 3], allRooms, 300)], three],
  ],
  [
    'a body that differs from the database',
    'diverging',
    [[...sends(3), ...began(), ...receives([1, 2]), ...receives([3], { body: 'forged' }, 300)], three],
    [[...sends(3), ...began(), ...receives([1, 2, 3])], three],
  ],
  [
    'an id that differs between readers',
    'diverging',
    [[...sends(3), ...began(), ...receives([1, 2]), ...receives([3], { id: 'another' }, 300)], three],
    [[...sends(3), ...began(), ...receives([1, 2, 3])], three],
  ],
  [
    'a message stored with another number than acknowledged',
    'diverging',
    [
      sends(2),
      finalState([
        stored(1, { clientMessageId: 'ann:2', body: 'ann:2' }),
        stored(2, { clientMessageId: 'ann:1', body: 'ann:1' }),
      ]),
    ],
    [sends(2), finalState([stored(1), stored(2)])],
  ],
  [
    'a gap in the numbers',
    'holed',
    [
      sends(0),
      finalState(
        [stored(1), stored(3)].map((message) => ({ ...message, clientMessageId: null })),
        3,
      ),
    ],
    [sends(0), finalState([stored(1), stored(2)].map((message) => ({ ...message, clientMessageId: null })))],
  ],
  [
    'a clientMessageId that is stored twice',
    'holed',
    [sends(1), finalState([stored(1), stored(2, { clientMessageId: 'ann:1', body: 'ann:1' })])],
    [sends(2), finalState([stored(1), stored(2)])],
  ],
  [
    'a message to a removed member after a second, unless re-added',
    'unauthorised',
    [[...sends(3), ...began(), ...receives([1, 2]), ...removal(350), ...receives([3], {}, 1_400)], three],
    [
      [...sends(3), ...began(), ...receives([1, 2]), ...removal(350), ...addition(400), ...receives([3], {}, 1_400)],
      three,
    ],
  ],
  [
    'a message to a removed member, except within 1.5 s without Redis',
    'unauthorised',
    [[...sends(3), ...began(), ...receives([1, 2]), ...removal(350), ...receives([3], {}, 1_700)], three],
    [
      [
        ...sends(3),
        ...began(),
        ...receives([1, 2]),
        ...removal(350),
        ...fault('redis killed', 300, 9_000),
        ...receives([3], {}, 1_700),
      ],
      three,
    ],
  ],
  [
    'a late message to a removed member, unless a frozen node delayed it',
    'unauthorised',
    [
      [
        ...sends(3),
        ...began(),
        ...receives([1, 2]),
        ...removal(350),
        ...fault('node killed', 320, 5_000),
        ...receives([3], {}, 5_000),
      ],
      three,
    ],
    [
      [
        ...sends(3),
        ...began(),
        ...receives([1, 2]),
        ...removal(350),
        ...fault('node frozen', 320, 5_000),
        ...receives([3], {}, 5_000),
      ],
      three,
    ],
  ],
  [
    'a message of a blocked sender, but none of another sender',
    'unauthorised',
    [[...sends(3), ...began(), ...receives([1, 2]), ...block(350), ...receives([3], {}, 1_400)], three],
    [
      [...sends(3), ...began(), ...receives([1, 2]), ...block(350), ...receives([3, 4], { body: null }, 1_400)].filter(
        ([, what, more]) => !(what === 'received' && more?.['number'] === 3),
      ),
      finalState([stored(1), stored(2), stored(3), stored(4, { sender: null, clientMessageId: null, body: null })]),
    ],
  ],
  [
    'a message with another viewer’s fields',
    'mistaken',
    [[...sends(3), ...began(), ...receives([1, 2, 3], { viewer: 'ann' })], three],
    [[...sends(3), ...began(), ...receives([1, 2, 3], { viewer: 'ben' })], three],
  ],
  [
    'a reader that stops before the last message',
    'stuck',
    [[...sends(3), ...began(), ...receives([1, 2])], three],
    [[...sends(3), ...began(), ...receives([1, 2, 3])], three],
  ],
  [
    'a cursor that is refused without a reason',
    'refused',
    [[[10, 'ended', { who: 'ben', stream: 1, code: 'BAD_USER_INPUT' }]], finalState([])],
    [[[10, 'ended', { who: 'ben', stream: 1, code: 'CLOSED 1012' }]], finalState([])],
  ],
  [
    'a node that exits by itself',
    'crashed',
    [[[10, 'crashed', { detail: 'TypeError' }]], finalState([])],
    [fault('node killed', 10, 20), finalState([])],
  ],
  [
    'a node that retains unused resources',
    'leaked',
    [[[10, 'leaked', { detail: 'parley_tails 1' }]], finalState([])],
    [[], finalState([])],
  ],
  [
    'a node that does not exit cleanly at SIGTERM',
    'undrained',
    [[[10, 'undrained', { detail: 'exit code 1' }]], finalState([])],
    [fault('nodes restarted one by one', 10, 20), finalState([])],
  ],
];

describe('the checker', () => {
  test.each(planted)('finds %s: %s', (_, kind, dirty, clean) => {
    expect(kindsFound(...dirty)).toContain(kind);
    expect(kindsFound(...clean)).toEqual([]);
  });

  test('finds nothing else in a history with one fault', () => {
    expect(kindsFound([...sends(3), ...began(), ...receives([1, 3])], three)).toEqual(['lost']);
  });

  test('skips only messages that a resynchronised reader loaded by query', () => {
    const resumed: Steps = [[250, 'began', { who: 'ben', user: 'ben', ofOneRoom: true, known: { room: 2 } }]];
    expect(
      kindsFound([...sends(3), ...began(), ...receives([1]), ...resumed, ...receives([3], {}, 300)], three),
    ).toEqual([]);
    expect(
      kindsFound([...sends(4), ...began(), ...receives([1]), ...resumed, ...receives([4], {}, 400)], four),
    ).toEqual(['lost']);
  });
});
