import type { Logger } from 'pino';
import { createPasswords } from './auth/passwords.ts';
import { authenticate, originOf } from './auth/sessions.ts';
import { createAccessTokens } from './auth/tokens.ts';
import type { Context, Origin, ServerNode } from './context.ts';
import { openDatabase, type StatementListener } from './database/database.ts';
import { createBus } from './realtime/bus.ts';
import { databaseMark } from './realtime/cursor.ts';
import { createTails } from './realtime/tails.ts';

export interface NodeOptions {
  databaseUrl: string;
  poolSize?: number;
  redisUrl?: string | undefined;
  authSecret: string;
  log: Logger;
  onStatement?: StatementListener | undefined;
}

/** Connects one node to a database that is migrated already, and to the others through Redis if there is one. */
export async function createNode(options: NodeOptions): Promise<ServerNode> {
  const { log, redisUrl } = options;
  const database = await openDatabase(options.databaseUrl, {
    poolSize: options.poolSize,
    onStatement: options.onStatement,
    onError: (error) => {
      log.warn({ err: error }, 'A database connection broke; the pool makes another.');
    },
  });
  const bus = createBus({ redisUrl, log });
  const tails = await createTails({ database, bus, log });
  return {
    database,
    tails,
    log,
    accessTokens: createAccessTokens(options.authSecret),
    passwords: await createPasswords(),
    databaseMark: databaseMark(database.identity),
    async close() {
      tails.close();
      await bus.close();
      await database.close();
    },
  };
}

/** The context of one operation: who asks, from where, and nothing remembered. */
export async function createContext(
  node: ServerNode,
  authorization: unknown,
  origin: Origin = originOf(undefined, null),
): Promise<Context> {
  return { ...node, ...(await authenticate(node, authorization)), origin, cache: {} };
}
