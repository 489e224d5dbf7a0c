import type { Finding } from './findings.ts';
import { type Replacement, replaceOnce, withProgram } from './program.ts';
import type { FaultKind } from './schedule.ts';
import { type Outcome, type Query, runSeed } from './seed.ts';

/** Something that is broken on purpose, and by what it must be found out. */
export interface Plant {
  name: string;
  /** One of these kinds must be among the findings. */
  kinds: Finding['kind'][];
  /** How many nodes run: three unless given. */
  nodes?: number;
  /** What the sources say instead. */
  replacements?: Replacement[];
  /** What the database is told, once the rooms are there. */
  database?: (query: Query) => Promise<unknown>;
}

/** One schedule for all of them, and for the server in which nothing is broken. */
export const PLANTED_SEED = 5;
const PLANTED_KINDS: FaultKind[] = [
  ...(['redis killed', 'redis cut off from one node', 'client sockets dropped'] as const),
  'answers of the database cut off',
];
export const PLANTED_OPTIONS = {
  faults: 12,
  messages: 35,
  kinds: PLANTED_KINDS,
};

export const PLANTS: Plant[] = [
  {
    // Nudges that Redis loses are never made up for.
    name: 'no sweep',
    kinds: ['late'],
    replacements: [
      {
        file: 'realtime/sweep.ts',
        from: 'const timer = setInterval(() => void run(), SWEEP_MS);',
        to: 'const timer = setInterval(() => undefined, SWEEP_MS);',
      },
    ],
  },
  {
    // A sequence does not take back the number of a send that is rolled back. Whether a send fails after it has taken its
    // number would be chance, so every fifth number is followed by an error of the kind that a node retries.
    name: 'numbers out of a sequence',
    kinds: ['holed'],
    nodes: 1,
    database: async (query: Query) => {
      const rooms = await query(`SELECT id, last_number + 1 AS next FROM chatrooms`);
      for (const { id, next } of rooms) await query(`CREATE SEQUENCE "numbers ${String(id)}" START ${Number(next)}`);
      const [found] = await query(`SELECT pg_get_functiondef(oid) AS text FROM pg_proc WHERE proname = 'send_message'`);
      const lock = 'SELECT * INTO room FROM chatrooms c WHERE c.id = to_chatroom FOR NO KEY UPDATE;';
      const number = `nextval(format('%I', 'numbers ' || to_chatroom))`;
      const text = replaceOnce(
        replaceOnce(
          String(found?.['text']),
          lock,
          `taken := ${number};
           IF taken % 5 = 0 THEN RAISE serialization_failure; END IF;
           ${lock}
           room.last_number := taken - 1;`,
          'send_message',
        ),
        'DECLARE',
        'DECLARE taken integer;',
        'send_message',
      );
      await query(text);
    },
  },
  {
    // One viewer's result is sent to all who run the same operation. Three members select their own membership in one
    // room; with one node they always share its executions, with three only while two happen to be on the same node.
    name: 'everything is shared',
    kinds: ['mistaken'],
    nodes: 1,
    replacements: [
      { file: 'realtime/subscribe.ts', from: 'asked.personal ||= observed.wasPersonal();', to: '' },
      { file: 'realtime/subscribe.ts', from: 'personal: observed.wasPersonal() || result', to: 'personal: result' },
    ],
  },
  {
    // Who hears of a message before it is there finds nothing, and asks no more. The commit takes long enough to be looked for,
    // and the sweep, which makes up for it, comes more rarely: with nudges as they should be that delays nothing.
    name: 'nudges before the commit',
    kinds: ['late'],
    replacements: [
      {
        file: 'messages/messages.ts',
        from: 'const stored = await context.sending(',
        to: `const [room] = await context.database.query<{ next: number }>(sql\`
          SELECT last_seq + 1 AS next FROM chatrooms WHERE id = \${chatroomId}::uuid\`);
        context.tails.nudge(chatroomId, room?.next ?? 0);
        await context.database.query(sql\`SELECT pg_sleep(0.3)\`);
        const stored = await context.sending(`,
      },
      { file: 'messages/messages.ts', from: 'context.tails.nudge(chatroomId, message.seq);', to: '' },
      { file: 'realtime/sweep.ts', from: 'const SWEEP_MS = 1_000;', to: 'const SWEEP_MS = 10_000;' },
    ],
  },
];

/** Runs a server in which something is broken. */
export function runPlanted(plant: Plant, say?: (text: string) => void): Promise<Outcome> {
  const { replacements = [], nodes, database } = plant;
  return withProgram(replacements, (program) =>
    runSeed(PLANTED_SEED, { ...PLANTED_OPTIONS, nodes, program, plant: database, say }),
  );
}
