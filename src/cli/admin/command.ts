import type { Config } from '../../core/config/settings.ts';
import type { Progress } from '../../core/progress.ts';
import type { Database } from '../../platform/database/database.ts';

/** Dependencies of a command. */
export interface Tools {
  config: Config;
  databaseUrl: string;
  /**
   * Opens the database.
   *
   * @throws ConfigError if a migration has not been applied
   */
  open: () => Promise<Database>;
  /** Reads standard input. */
  readInput: () => Promise<string>;
  /** Displays the progress of a long command. */
  progress: Progress;
  /** Version of Node.js. */
  nodeVersion: string;
}

/** A command for operators. */
export interface Command {
  /** Names of the command's parameters, as shown in its help. */
  parameters: readonly string[];
  /** Describes the command and its consequences. */
  help: string;
  options?: Record<string, { type: 'string' | 'boolean'; help: string }>;
  /** Runs the command. Returns its output. If `failed` is true, the process exits with code 1. */
  run(tools: Tools, positionals: string[], options: Options): Promise<string | { text: string; failed: boolean }>;
}

export type Options = Record<string, string | boolean | undefined>;
