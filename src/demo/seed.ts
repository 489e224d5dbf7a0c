import { type Account, startSession } from '../auth/sessions.ts';
import type { ServerNode } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import type { Importing, ImportSummary } from '../import/import.ts';
import { storeConversation } from '../import/records.ts';
import { derivedId, storeFriendships, storeUsers } from '../import/store.ts';
import { createContext } from '../node.ts';
import { DEMO_PASSWORD, DEMO_PEOPLE, type DemoUsername } from './people.ts';
import { ANN_AND_BEN, ANN_AND_DAICHI, KITCHEN, type Said, SCENES, SLOTS } from './script.ts';

const SOURCE = 'parley demo';
const BEGAN = Date.UTC(2026, 2, 2, 7, 30);
const MINUTE = 60_000;

/** How long the long history is. */
const GARDEN_MESSAGES = 2_000;

const EVERYONE: readonly DemoUsername[] = ['ann', 'ben', 'chloe', 'daichi', 'minjun', 'olga', 'noa'];

const ROOMS: readonly {
  key: string;
  kind: 'DIRECT' | 'GROUP' | 'OPEN';
  name: string | null;
  members: readonly DemoUsername[];
  said: readonly Said[];
}[] = [
  { key: 'garden', kind: 'OPEN', name: 'The garden', members: EVERYONE, said: tellStory(GARDEN_MESSAGES) },
  { key: 'kitchen', kind: 'GROUP', name: 'Friday kitchen', members: ['chloe', 'ann', 'minjun', 'noa'], said: KITCHEN },
  { key: 'ann ben', kind: 'DIRECT', name: null, members: ['ann', 'ben'], said: ANN_AND_BEN },
  { key: 'ann daichi', kind: 'DIRECT', name: null, members: ['ann', 'daichi'], said: ANN_AND_DAICHI },
  { key: 'ann echo', kind: 'DIRECT', name: null, members: ['ann', 'echo'], said: [] },
];

/**
 * Adds the demo's users, friendships, rooms and a long history: the same on every machine, and nothing if
 * it is there already.
 */
export async function seedDemo(importing: Importing): Promise<ImportSummary> {
  const { database, passwords, progress } = importing;
  const passwordHash = await passwords.hash(DEMO_PASSWORD);
  const users = await storeUsers(
    database,
    DEMO_PEOPLE.map((person) => ({
      ...person,
      id: userId(person.username),
      name: person.username,
      suffix: 'demo',
      passwordHash,
    })),
  );
  const [ann, ...others] = EVERYONE.map(userId);
  await storeFriendships(
    database,
    others.map((other) => [ann ?? '', other] as const),
  );

  const summary: ImportSummary = { users, chatrooms: 0, messages: 0, skipped: {}, changed: {} };
  progress.start('Demo rooms', ROOMS.length);
  for (const { key, kind, name, members, said } of ROOMS) {
    const messages = said.map(([who, body], i) => ({
      senderId: userId(who),
      body,
      // Scenes are hours apart, what is said in one a minute or two.
      createdAt: new Date(BEGAN + i * 53 * MINUTE + (i % 3) * MINUTE),
      clientMessageId: `${SOURCE} ${i}`,
    }));
    await storeConversation(
      importing,
      { id: derivedId(SOURCE, `room ${key}`), kind, name, memberIds: members.map(userId) },
      messages,
      summary,
    );
  }
  progress.done();
  return summary;
}

/** Whether nobody has an account yet. */
export async function isEmpty(database: Database): Promise<boolean> {
  return (await database.prisma.user.count()) === 0;
}

/** Whether the demo's people are there; not while the database does not answer. */
export async function hasDemo({ database }: Pick<ServerNode, 'database'>): Promise<boolean> {
  const first = userId(DEMO_PEOPLE[0].username);
  const found = await database.query(sql`SELECT id FROM users WHERE id = ${first}::uuid`).catch(() => []);
  return found.length > 0;
}

/**
 * Signs in the first demo user, for a terminal or a page to use. Null if there is none, or if the password is no longer the
 * public one: then the account belongs to somebody.
 */
export async function signInDemo(
  node: ServerNode,
): Promise<{ username: string; password: string; accessToken: string } | null> {
  const [{ username }] = DEMO_PEOPLE;
  const [user] = await node.database.query<Account>(sql`
    SELECT id, password_hash AS "passwordHash" FROM users WHERE id = ${userId(username)}::uuid`);
  if (!user || !(await node.passwords.fits(DEMO_PASSWORD, user.passwordHash))) return null;
  const { accessToken } = await startSession(await createContext(node, { authorization: undefined }), user);
  return { username, password: DEMO_PASSWORD, accessToken };
}

/** The id of the room with the long history, and of a user to talk to. */
export const DEMO_ROOM = derivedId(SOURCE, 'room garden');

function userId(username: DemoUsername): string {
  return derivedId(SOURCE, `user ${username}`);
}

/** Plays scene after scene until there are so many messages, and fills their slots: no chance is involved. */
function tellStory(length: number): Said[] {
  const story: Said[] = [];
  for (let scene = 0; story.length < length; scene += 1) {
    // A stride that shares no factor with the number of scenes visits them all before it repeats.
    const lines = SCENES[(scene * 7) % SCENES.length] ?? [];
    story.push(...lines.map(([who, text], i): Said => [who, fill(text, scene + i)]));
  }
  return story.slice(0, length);
}

function fill(text: string, turn: number): string {
  return text.replace(/\{(\w+)\}/g, (_, slot: string) => {
    const words = SLOTS[slot] ?? [];
    return words[(turn * 11 + slot.length) % words.length] ?? slot;
  });
}
