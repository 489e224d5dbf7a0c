import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../../platform/database/database.ts';
import { DEMO_USERNAMES } from '../../server/demo/people.ts';
import { foldName } from '../../core/text/names.ts';
import type { ImportContext, ImportSummary } from './importing.ts';
import { folderOf } from '../export/exportFiles.ts';
import { importIrc } from './irc.ts';
import { importKuroi, isKuroi } from './kuroi.ts';
import { importMyMessenger, isMyMessenger } from './myMessenger.ts';
import { importChatroom, importUser, readExportedChatroom, readExportedUser } from './parleyExport.ts';

/**
 * Imports an IRC log, a folder of IRC logs, an export of Parley, or one of the two supported JSON files of demo data.
 * Importing data again adds nothing.
 *
 * @param members usernames of additional members of an IRC room. Its speakers and the demo users are always members.
 * @throws Error with a message for the operator, if the path does not exist, its format is not supported, or a member
 *   is unknown
 */
export async function importPath(
  importing: ImportContext,
  path: string,
  members: readonly string[],
): Promise<ImportSummary & { seconds: number }> {
  const began = performance.now();
  const summary = await importAny(importing, path, members);
  return { ...summary, seconds: (performance.now() - began) / 1000 };
}

async function importAny(importing: ImportContext, path: string, members: readonly string[]): Promise<ImportSummary> {
  const logs = await findLogs(path);
  if (logs.length > 0) return importIrc(importing, logs, await findMembers(importing.database, members));
  if (path.endsWith('.json')) {
    const data = parseJson(await readFile(path, 'utf8'));
    const chatroom = readExportedChatroom(data);
    if (chatroom) return importChatroom(importing, chatroom, folderOf(path));
    const user = readExportedUser(data);
    if (user) return importUser(importing, user, folderOf(path));
    if (isKuroi(data)) return importKuroi(importing, data);
    if (isMyMessenger(data)) return importMyMessenger(importing, data);
  }
  throw new Error(
    `${path} is neither an IRC log (YYYY-MM-DD….txt), a folder of IRC logs, an export of Parley, nor a supported JSON file of demo data. Import one of these.`,
  );
}

/** Parses a JSON text. Returns null if the text is not JSON, for example because the file is truncated. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function findLogs(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => null);
  if (!found) throw new Error(`There is nothing at ${path}. Check the path.`);
  const files = found.isDirectory() ? (await readdir(path)).map((name) => join(path, name)) : [path];
  return files.filter((file) => /\d{4}-\d\d-\d\d[^/\\]*\.txt$/.test(file));
}

async function findMembers(database: Database, named: readonly string[]): Promise<string[]> {
  const keys = [...DEMO_USERNAMES, ...named].map(foldName);
  const found = await database.prisma.user.findMany({ where: { usernameKey: { in: keys } } });
  for (const name of named) {
    if (!found.some((user) => user.usernameKey === foldName(name)))
      throw new Error(`There is no user "${name}". Name an existing user with --member.`);
  }
  return found.map((user) => user.id);
}

/** Formats the summary as a small table for a terminal. */
export function formatSummary({
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
      `skipped: ${reason}`,
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
