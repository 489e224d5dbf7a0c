import type { Finding } from './findings.ts';
import { type Replacement, replaceOnce, withProgram } from './program.ts';
import type { FaultKind } from './schedule.ts';
import { type Outcome, type Query, runSeed } from './seed.ts';

/** A deliberate defect, and the findings that must reveal it. */
export interface Plant {
  name: string;
  /** At least one of these kinds must be found. */
  kinds: Finding['kind'][];
  /** Number of nodes; three by default. */
  nodes?: number;
  /** Replacements in the sources. */
  replacements?: Replacement[];
  /** Changes the database after the rooms were created. */
  database?: (query: Query) => Promise<unknown>;
}

/** Seed of the schedule for all defects, and for the server without a defect. */
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
    // Notifications that Redis loses are never recovered.
    name: 'no polling',
    kinds: ['late'],
    replacements: [
      {
        file: 'delivery/changePoller.ts',
        from: 'const timer = setInterval(() => void run(), POLL_INTERVAL_MS);',
        to: 'const timer = setInterval(() => undefined, POLL_INTERVAL_MS);',
      },
    ],
  },
  {
    // A send that is rolled back leaves a gap in a sequence. A failure after a number was assigned would
    // be random, so every fifth number is followed by an error that nodes retry.
    name: 'numbers out of a sequence',
    kinds: ['holed'],
    nodes: 1,
    database: async (query: Query) => {
      const rooms = await query(`SELECT id, last_number + 1 AS next FROM chatrooms`);
      for (const { id, next } of rooms) await query(`CREATE SEQUENCE "numbers ${String(id)}" START ${Number(next)}`);
      const [found] = await query(
        `SELECT pg_get_functiondef(oid) AS text FROM pg_proc WHERE proname = 'store_message'`,
      );
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
          'store_message',
        ),
        'DECLARE',
        'DECLARE taken integer;',
        'store_message',
      );
      await query(text);
    },
  },
  {
    // One viewer's result is sent to all subscribers of an operation. Three members select their own membership in one
    // room. With one node, they always share executions. With three nodes, they share only if two are on one node.
    name: 'everything is shared',
    kinds: ['mistaken'],
    nodes: 1,
    replacements: [
      {
        file: 'graphql/subscription.ts',
        from: 'viewerDependent: viewerWasRead || failed',
        to: 'viewerDependent: failed',
      },
    ],
  },
  {
    // A subscriber that is notified before the commit finds nothing and does not query again. The commit is slow enough
    // for that, and polls are less frequent. Correct notifications make neither change noticeable.
    name: 'notifications before the commit',
    kinds: ['late'],
    replacements: [
      {
        file: 'features/messages/messages.ts',
        from: 'const stored = await context.sendQueue(',
        to: `const [room] = await context.database.query<{ next: number }>(sql\`
          SELECT last_seq + 1 AS next FROM chatrooms WHERE id = \${chatroomId}::uuid\`);
        context.roomTails.notify(chatroomId, room?.next ?? 0);
        await context.database.query(sql\`SELECT pg_sleep(0.3)\`);
        const stored = await context.sendQueue(`,
      },
      {
        file: 'features/messages/messages.ts',
        from: 'context.roomTails.notify(chatroomId, message.seq, event);',
        to: '',
      },
      {
        file: 'delivery/changePoller.ts',
        from: 'const POLL_INTERVAL_MS = 1_000;',
        to: 'const POLL_INTERVAL_MS = 10_000;',
      },
    ],
  },
];

/** Runs a server with a deliberate defect. */
export function runPlanted(plant: Plant, say?: (text: string) => void): Promise<Outcome> {
  const { replacements = [], nodes, database } = plant;
  return withProgram(replacements, (program) =>
    runSeed(PLANTED_SEED, { ...PLANTED_OPTIONS, nodes, program, plant: database, say }),
  );
}
