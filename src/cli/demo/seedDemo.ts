import type { Database } from '../../platform/database/database.ts';
import type { ImportContext, ImportSummary } from '../import/importing.ts';
import { storeConversation } from '../import/conversation.ts';
import { storeBots, storeFriendships, storeUsers } from '../import/bulkInsert.ts';
import { derivedId } from '../../core/globalIds.ts';
import { DEMO_SOURCE, demoUserId } from '../../server/demo/demoIds.ts';
import { DEMO_PASSWORD, DEMO_PEOPLE, type DemoUsername } from '../../server/demo/people.ts';
import { ANN_AND_BEN, ANN_AND_DAICHI, KITCHEN, type ScriptedMessage, SCENES, SLOTS } from './script.ts';

/** Time of the first message of each room. */
const START = Date.UTC(2026, 2, 2, 7, 30);
const MINUTE_MS = 60_000;

/** Number of messages in the room with the long history. */
const GARDEN_MESSAGES = 2_000;

const EVERYONE: readonly DemoUsername[] = ['ann', 'ben', 'chloe', 'daichi', 'minjun', 'olga', 'noa'];

const ROOMS: readonly {
  key: string;
  kind: 'DIRECT' | 'GROUP' | 'OPEN';
  name: string | null;
  members: readonly DemoUsername[];
  messages: readonly ScriptedMessage[];
}[] = [
  { key: 'garden', kind: 'OPEN', name: 'The garden', members: EVERYONE, messages: createHistory(GARDEN_MESSAGES) },
  {
    key: 'kitchen',
    kind: 'GROUP',
    name: 'Friday kitchen',
    members: ['chloe', 'ann', 'minjun', 'noa'],
    messages: KITCHEN,
  },
  { key: 'ann ben', kind: 'DIRECT', name: null, members: ['ann', 'ben'], messages: ANN_AND_BEN },
  { key: 'ann daichi', kind: 'DIRECT', name: null, members: ['ann', 'daichi'], messages: ANN_AND_DAICHI },
  { key: 'ann echo', kind: 'DIRECT', name: null, members: ['ann', 'echo'], messages: [] },
];

/**
 * Adds the demo users, friendships, rooms and a long history. The data is identical on every machine. Existing data is
 * not added again.
 */
export async function seedDemo(importing: ImportContext): Promise<ImportSummary> {
  const { database, passwords, progress } = importing;
  const passwordHash = await passwords.hash(DEMO_PASSWORD);
  const users = await storeUsers(
    database,
    DEMO_PEOPLE.map((person) => ({
      ...person,
      id: demoUserId(person.username),
      name: person.username,
      suffix: 'demo',
      passwordHash: 'isBot' in person ? null : passwordHash,
    })),
  );
  const echo = { userId: demoUserId('echo'), ownerId: demoUserId('ann'), scopes: ['messages:read', 'messages:write'] };
  await storeBots(database, [echo]);
  const [ann, ...others] = EVERYONE.map(demoUserId);
  await storeFriendships(
    database,
    others.map((other) => [ann ?? '', other] as const),
  );

  const summary: ImportSummary = { users, chatrooms: 0, messages: 0, skipped: {}, changed: {} };
  progress.start('Demo rooms', ROOMS.length);
  for (const { key, kind, name, members, messages: script } of ROOMS) {
    const messages = script.map(([who, body], i) => ({
      senderId: demoUserId(who),
      body,
      // Messages are almost an hour apart, which spreads the long history over ten weeks.
      createdAt: new Date(START + i * 53 * MINUTE_MS + (i % 3) * MINUTE_MS),
      clientMessageId: `${DEMO_SOURCE} ${i}`,
    }));
    await storeConversation(
      importing,
      { id: derivedId(DEMO_SOURCE, `room ${key}`), kind, name, memberIds: members.map(demoUserId) },
      messages,
      summary,
    );
  }
  progress.done();
  return summary;
}

/** Returns whether the database has no users. */
export async function isEmpty(database: Database): Promise<boolean> {
  return (await database.prisma.user.count()) === 0;
}

/**
 * Returns `length` messages of consecutive scenes, with a word in place of each slot. The result is the same on every
 * machine.
 */
function createHistory(length: number): ScriptedMessage[] {
  const history: ScriptedMessage[] = [];
  for (let scene = 0; history.length < length; scene += 1) {
    // A stride of 7 visits every scene before it repeats, because 7 and the number of scenes have no common factor.
    const lines = SCENES[(scene * 7) % SCENES.length] ?? [];
    history.push(...lines.map(([who, text], i): ScriptedMessage => [who, fill(text, scene + i)]));
  }
  return history.slice(0, length);
}

function fill(text: string, turn: number): string {
  return text.replace(/\{(\w+)\}/g, (_, slot: string) => {
    const words = SLOTS[slot] ?? [];
    return words[(turn * 11 + slot.length) % words.length] ?? slot;
  });
}
