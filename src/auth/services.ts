import { type Database, sql } from '../database/database.ts';
import { ChatError } from '../errors.ts';
import { createToken, hashToken } from './tokens.ts';

/** Another service, which may send system messages and nothing else. */
export interface Service {
  name: string;
}

/** By which a service token is told from an access token. */
const PREFIX = 'parley-service-';

export function isServiceToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

/** @throws ChatError `UNAUTHENTICATED` for a token that is none of ours, or was revoked */
export async function findService(database: Database, token: string): Promise<Service> {
  const service = await database.prisma.serviceToken.findUnique({
    where: { hash: Uint8Array.from(hashToken(token)) },
    select: { name: true },
  });
  if (!service) throw new ChatError('UNAUTHENTICATED', 'This service token is not good any more. Create another.');
  return service;
}

/**
 * Makes the token of a service; it is shown this once, and stored hashed.
 *
 * @throws Error a sentence for whoever runs the command
 */
export async function createServiceToken(database: Database, name: string): Promise<string> {
  if (!/^[\w.-]{1,64}$/.test(name)) throw new Error('A service is called by 1 to 64 letters, digits, or any of _ . -');
  const token = PREFIX + createToken().token;
  const made = await database.query(sql`
    INSERT INTO service_tokens (name, hash) VALUES (${name}, ${hashToken(token)}) ON CONFLICT DO NOTHING RETURNING name`);
  if (made.length === 0) throw new Error(`The service "${name}" has a token already. Revoke it first.`);
  return token;
}

/** @throws Error a sentence for whoever runs the command */
export async function revokeServiceToken(database: Database, name: string): Promise<void> {
  const { count } = await database.prisma.serviceToken.deleteMany({ where: { name } });
  if (count === 0) throw new Error(`There is no service "${name}".`);
}

/** The services that have a token, by name. */
export async function listServiceTokens(database: Database): Promise<{ name: string; createdAt: Date }[]> {
  return database.prisma.serviceToken.findMany({
    select: { name: true, createdAt: true },
    orderBy: { name: 'asc' },
  });
}
