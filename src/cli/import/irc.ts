import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { foldName } from '../../core/text/names.ts';
import type { ImportContext, ImportSummary } from './importing.ts';
import { countReason, createDateCorrection } from './conversation.ts';
import { markAllRead, storeChatroom, storeMessages, type StoredMessage, storeUsers } from './bulkInsert.ts';
import { derivedId } from '../../core/globalIds.ts';

const SOURCE = 'irc:#ubuntu';
const ROOM = { name: '#ubuntu', topic: 'Help and talk about Ubuntu, as it was on IRC' };

/**
 * Maximum backward step of the time between two lines that counts as a clock correction, in minutes. A longer step
 * means that a new day has begun.
 */
const MAX_CLOCK_CORRECTION_MINUTES = 6 * 60;

interface Line {
  nick: string;
  text: string;
  at: Date;
  id: string;
}

/**
 * Imports IRC logs in the format of the #ubuntu archive into one OPEN room. The lines `[HH:MM] <nick> text` and
 * `[HH:MM]  * nick does` become messages. All other lines are skipped, such as the server's lines (`===`). Times are
 * read as UTC. The name of a file starts with the day of its first line.
 *
 * @throws Error if a file name does not start with a day
 */
export async function importIrc(
  importing: ImportContext,
  files: readonly string[],
  memberIds: readonly string[],
): Promise<ImportSummary> {
  const { database, progress } = importing;
  const skipped: Record<string, number> = {};
  const changed: Record<string, number> = {};
  const correctDate = createDateCorrection(changed);
  const lines = (await Promise.all([...files].sort().map((file) => readLog(file, skipped))))
    .flat()
    .map((line) => ({ ...line, at: correctDate(line.at) }));

  const users = new Map(
    // A Map keeps the last value of each key. Reversing the lines therefore keeps the first spelling of a nick.
    lines
      .toReversed()
      .map(({ nick }) => [nickId(nick), { id: nickId(nick), name: nick, suffix: 'irc', nickname: nick }]),
  );
  const usersAdded = await storeUsers(database, [...users.values()].toReversed());
  const [first] = lines;
  const room = await storeChatroom(database, {
    id: derivedId(SOURCE, 'room'),
    kind: 'OPEN',
    ...ROOM,
    memberIds: [...new Set([...lines.map(({ nick }) => nickId(nick)), ...memberIds])],
    createdAt: first?.at ?? new Date(0),
  });
  progress.start('Messages', lines.length);
  const messages = await storeMessages(database, room.id, lines.map(toMessage), (count) => {
    progress.advance(count);
  });
  progress.done();
  await markAllRead(database, room.id);
  return { users: usersAdded, chatrooms: Number(room.added), messages, skipped, changed };
}

function nickId(nick: string): string {
  return derivedId(SOURCE, foldName(nick));
}

function toMessage({ nick, text, at, id }: Line): StoredMessage {
  return { senderId: nickId(nick), body: text.trim() === '' ? null : text, createdAt: at, clientMessageId: id };
}

async function readLog(file: string, skipped: Record<string, number>): Promise<Line[]> {
  const name = basename(file);
  const [day] = /^\d{4}-\d\d-\d\d/.exec(name) ?? [];
  if (day === undefined)
    throw new Error(`${name} does not start with its day. Rename it, for example to 2004-12-25.txt.`);
  let midnight = Date.parse(`${day}T00:00Z`);
  let minutes = 0;
  const lines: Line[] = [];
  for (const [i, line] of (await readFile(file, 'utf8')).split('\n').entries()) {
    const [, hour, minute, content] = /^\[(\d\d):(\d\d)\] (.*)$/.exec(line.replace(/\r$/, '')) ?? [];
    const [, speaker, text = '', actor, action = ''] =
      /^(?:<([^>]+)> ?(.*)| \* (\S+) ?(.*))$/.exec(content ?? '') ?? [];
    const nick = speaker ?? actor;
    if (nick === undefined) {
      countSkippedLine(skipped, line);
      continue;
    }
    const now = Number(hour) * 60 + Number(minute);
    if (now < minutes - MAX_CLOCK_CORRECTION_MINUTES) {
      midnight += 86_400_000;
      minutes = now;
    }
    minutes = Math.max(minutes, now);
    lines.push({
      nick,
      text: actor === undefined ? text : `/me ${action}`,
      at: new Date(midnight + minutes * 60_000),
      id: `${name}:${i + 1}`,
    });
  }
  return lines;
}

function countSkippedLine(skipped: Record<string, number>, line: string): void {
  if (line === '') return;
  const [reason] =
    [
      ['a user joined', /^===.* (?:has )?joined #/i],
      ['a user changed nick', /^===.* (?:is )?now known as /],
      ['another server message', /^===/],
      ['a line in another format', /^/],
    ].find(([, pattern]) => (pattern as RegExp).test(line)) ?? [];
  countReason(skipped, String(reason));
}
