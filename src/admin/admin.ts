import { parseArgs } from 'node:util';
import { type Config, ConfigError } from '../config.ts';
import { type Database, openDatabase } from '../database/database.ts';
import { requireMigrated } from '../postgres.ts';
import type { Progress } from '../progress.ts';
import { doctorCommands } from './doctor.ts';
import { roomCommands } from './rooms.ts';
import { serviceCommands } from './services.ts';
import { upkeepCommands } from './upkeep.ts';
import { userCommands } from './users.ts';

/** What a command works with. */
export interface Tools {
  config: Config;
  databaseUrl: string;
  /** The database, once it has everything that this version needs. */
  open: () => Promise<Database>;
  /** What is piped into the program. */
  readInput: () => Promise<string>;
  /** Shows how far a long command has come. */
  progress: Progress;
  /** The version of Node that runs this. */
  nodeVersion: string;
}

/** One thing that only those who run the server may do. */
export interface Command {
  /** The words that it takes, as its help shows them. */
  words: readonly string[];
  /** What it does, and what follows from it. */
  help: string;
  options?: Record<string, { type: 'string' | 'boolean'; help: string }>;
  run(tools: Tools, words: string[], options: Options): Promise<string | { text: string; failed: boolean }>;
}

export type Options = Record<string, string | boolean | undefined>;

const commands: Record<string, Command> = {
  ...userCommands,
  ...roomCommands,
  ...serviceCommands,
  ...upkeepCommands,
  ...doctorCommands,
};

/**
 * Does what `admin NAME WORDS…` asks.
 *
 * @throws ConfigError with the help of the command, for words that it does not take; Error a sentence for people
 */
export async function administer(
  args: readonly string[],
  given: Omit<Tools, 'open' | 'databaseUrl'>,
  openPostgres: () => Promise<{ url: string; stop(): Promise<void> }>,
): Promise<{ text: string; failed: boolean }> {
  const [name = '--help', ...rest] = args;
  if (isHelp(name)) return { text: overview(), failed: false };
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new ConfigError(`There is no command "${name}".\n\n${overview()}`);
  if (rest.some(isHelp)) return { text: helpOf(name, command), failed: false };
  const { positionals, values } = readWords(name, command, rest);

  const postgres = await openPostgres();
  const databases: Database[] = [];
  try {
    const answer = await command.run(
      {
        ...given,
        databaseUrl: postgres.url,
        async open() {
          await requireMigrated(postgres.url);
          const database = await openDatabase(postgres.url, { poolSize: 2 });
          databases.push(database);
          return database;
        },
      },
      positionals,
      values,
    );
    return typeof answer === 'string' ? { text: answer, failed: false } : answer;
  } finally {
    for (const database of databases) await database.close();
    await postgres.stop();
  }
}

function readWords(name: string, command: Command, rest: string[]) {
  const options = Object.fromEntries(Object.entries(command.options ?? {}).map(([key, { type }]) => [key, { type }]));
  try {
    const { positionals, values } = parseArgs({ args: rest, options, allowPositionals: true });
    if (positionals.length === command.words.length) return { positionals, values };
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}\n\n${helpOf(name, command)}`);
  }
  throw new ConfigError(`This takes ${command.words.join(' ') || 'no words'}.\n\n${helpOf(name, command)}`);
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h' || word === 'help';
}

function usageOf(name: string, { words, options = {} }: Command): string {
  const flags = Object.entries(options).map(([key, { type }]) => `[--${key}${type === 'string' ? ' …' : ''}]`);
  return [name, ...words, ...flags].join(' ');
}

function helpOf(name: string, command: Command): string {
  const options = Object.entries(command.options ?? {}).map(([key, { help }]) => `  --${key}  ${help}`);
  return [`npm run admin -- ${usageOf(name, command)}`, '', command.help, ...options].join('\n');
}

function overview(): string {
  const lines = Object.entries(commands).map(([name, command]) => `  ${usageOf(name, command)}`);
  return ['npm run admin -- COMMAND, one of:', '', ...lines, '', 'Each tells more with --help.'].join('\n');
}
