import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Passwords } from '../auth/passwords.ts';
import type { Database } from '../database/database.ts';
import { DEMO_USERNAMES } from '../demo/people.ts';
import type { Progress } from '../progress.ts';
import { foldName } from '../text/names.ts';
import { importIrc } from './irc.ts';
import { importKuroi, isKuroi } from './kuroi.ts';
import { importMyMessenger, isMyMessenger } from './myMessenger.ts';
import { importChatroom, importUser, readExportedChatroom, readExportedUser } from './parley.ts';

/** What an import works with. */
export interface Importing {
  database: Database;
  passwords: Passwords;
  progress: Progress;
}

/** What an import added, what it left out and why, and what it changed. */
export interface ImportSummary {
  users: number;
  chatrooms: number;
  messages: number;
  /** Reasons, and how many lines or records each has. */
  skipped: Record<string, number>;
  /** What was not taken over as it was, and how often. */
  changed: Record<string, number>;
}

/**
 * Imports a folder of IRC logs, one log, what Parley has exported, or one of the two JSON files of demo data that
 * Parley knows. What has been imported before is not added again.
 *
 * @param members usernames of people who become members of an imported OPEN room, beside those who speak
 *   in it and the demo users
 * @throws Error a sentence that says what is accepted
 */
export async function importPath(
  importing: Importing,
  path: string,
  members: readonly string[],
): Promise<ImportSummary & { seconds: number }> {
  const began = performance.now();
  const summary = await importAny(importing, path, members);
  return { ...summary, seconds: (performance.now() - began) / 1000 };
}

async function importAny(importing: Importing, path: string, members: readonly string[]): Promise<ImportSummary> {
  const logs = await findLogs(path);
  if (logs.length > 0) return importIrc(importing, logs, await findMembers(importing.database, members));
  if (path.endsWith('.json')) {
    const data = parseJson(await readFile(path, 'utf8'));
    const chatroom = readExportedChatroom(data);
    if (chatroom) return importChatroom(importing, chatroom);
    const user = readExportedUser(data);
    if (user) return importUser(importing, user);
    if (isKuroi(data)) return importKuroi(importing, data);
    if (isMyMessenger(data)) return importMyMessenger(importing, data);
  }
  throw new Error(
    `${path} is neither an IRC log (YYYY-MM-DD….txt), a folder of them, what Parley has exported, nor a JSON file of demo data that Parley knows.`,
  );
}

/** Null for what is no JSON, such as a file that was cut short. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function findLogs(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => null);
  if (!found) throw new Error(`There is nothing at ${path}.`);
  const files = found.isDirectory() ? (await readdir(path)).map((name) => join(path, name)) : [path];
  return files.filter((file) => /\d{4}-\d\d-\d\d[^/\\]*\.txt$/.test(file));
}

async function findMembers(database: Database, named: readonly string[]): Promise<string[]> {
  const keys = [...DEMO_USERNAMES, ...named].map(foldName);
  const found = await database.prisma.user.findMany({ where: { usernameKey: { in: keys } } });
  for (const name of named) {
    if (!found.some((user) => user.usernameKey === foldName(name)))
      throw new Error(`There is no user "${name}" to make a member.`);
  }
  return found.map((user) => user.id);
}

/** The summary as a small table for a terminal. */
export function printSummary({
  users,
  chatrooms,
  messages,
  seconds,
  skipped,
  changed,
}: ImportSummary & { seconds: number }): string {
  const rows: [string, string][] = [
    ['users', users.toLocaleString('en')],
    ['chatrooms', chatrooms.toLocaleString('en')],
    ['messages', messages.toLocaleString('en')],
    ['seconds', seconds.toFixed(1)],
    ...Object.entries(skipped).map(([reason, count]): [string, string] => [
      `left out: ${reason}`,
      count.toLocaleString('en'),
    ]),
    ...Object.entries(changed).map(([what, count]): [string, string] => [
      `changed: ${what}`,
      count.toLocaleString('en'),
    ]),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return ['Added', ...rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value.padStart(7)}`)].join('\n');
}
