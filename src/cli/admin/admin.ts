import { parseArgs } from 'node:util';
import { ConfigError } from '../../core/config/config.ts';
import { type Database, openDatabase } from '../../platform/database/database.ts';
import { requireMigrated } from '../../server/postgres.ts';
import type { Command, Tools } from './command.ts';
import { doctorCommands } from './doctor.ts';
import { fileCommands } from './files.ts';
import { roomCommands } from './chatrooms.ts';
import { serviceCommands } from './serviceTokens.ts';
import { maintenanceCommands } from './maintenance.ts';
import { userCommands } from './users.ts';
import { webhookCommands } from './webhooks.ts';

const commands: Record<string, Command> = {
  ...userCommands,
  ...roomCommands,
  ...serviceCommands,
  ...webhookCommands,
  ...maintenanceCommands,
  ...fileCommands,
  ...doctorCommands,
};

/**
 * Runs the command line `admin NAME ARGUMENTS…`.
 *
 * @param args the command's name and its arguments
 * @param openPostgres opens the database; not called for help or invalid arguments
 * @returns the text to print, and whether the process should exit with code 1
 * @throws ConfigError with the help text, for an unknown command or invalid arguments
 * @throws Error with a message for the operator, if the command fails
 */
export async function administer(
  args: readonly string[],
  tools: Omit<Tools, 'open' | 'databaseUrl'>,
  openPostgres: () => Promise<{ url: string; stop(): Promise<void> }>,
): Promise<{ text: string; failed: boolean }> {
  const [name = '--help', ...rest] = args;
  if (isHelp(name)) return { text: overview(), failed: false };
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new ConfigError(`There is no command "${name}".\n\n${overview()}`);
  if (rest.some(isHelp)) return { text: helpOf(name, command), failed: false };
  const { positionals, values } = parseArguments(name, command, rest);

  const postgres = await openPostgres();
  const databases: Database[] = [];
  try {
    const result = await command.run(
      {
        ...tools,
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
    return typeof result === 'string' ? { text: result, failed: false } : result;
  } finally {
    for (const database of databases) await database.close();
    await postgres.stop();
  }
}

function parseArguments(name: string, command: Command, rest: string[]) {
  const options = Object.fromEntries(Object.entries(command.options ?? {}).map(([key, { type }]) => [key, { type }]));
  try {
    const { positionals, values } = parseArgs({ args: rest, options, allowPositionals: true });
    if (positionals.length === command.parameters.length) return { positionals, values };
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}\n\n${helpOf(name, command)}`);
  }
  throw new ConfigError(
    `This command takes ${command.parameters.join(' ') || 'no arguments'}.\n\n${helpOf(name, command)}`,
  );
}

function isHelp(argument: string): boolean {
  return argument === '--help' || argument === '-h' || argument === 'help';
}

function usageOf(name: string, { parameters, options = {} }: Command): string {
  const flags = Object.entries(options).map(([key, { type }]) => `[--${key}${type === 'string' ? ' …' : ''}]`);
  return [name, ...parameters, ...flags].join(' ');
}

function helpOf(name: string, command: Command): string {
  const options = Object.entries(command.options ?? {}).map(([key, { help }]) => `  --${key}  ${help}`);
  return [`npm run admin -- ${usageOf(name, command)}`, '', command.help, ...options].join('\n');
}

function overview(): string {
  const lines = Object.entries(commands).map(([name, command]) => `  ${usageOf(name, command)}`);
  return ['npm run admin -- COMMAND, one of:', '', ...lines, '', 'Add --help to a command for its description.'].join(
    '\n',
  );
}
