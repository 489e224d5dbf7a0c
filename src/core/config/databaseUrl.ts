import type { ClientConfig } from 'pg';
import { parse, toClientConfig } from 'pg-connection-string';

/**
 * Parses a DATABASE_URL.
 *
 * @returns the options for `pg`, and the schema that Prisma's `?schema=NAME` selects
 * @throws UrlFileError if a file that the URL names cannot be read
 */
export function parseDatabaseUrl(url: string): { options: ClientConfig; schema: string | undefined } {
  // pg treats the sslmodes prefer, require and verify-ca as verify-full, but prints a warning of ten lines for each.
  // Replacing the mode avoids the warning. `doctor` reports such a mode.
  const strict = /[?&]uselibpqcompat=true/.test(url)
    ? url
    : url.replace(/([?&]sslmode=)(prefer|require|verify-ca)(?=&|$)/, '$1verify-full');
  const { schema, ...parsed } = readUrl(strict);
  return {
    options: toClientConfig({ ...parsed, host: parsed.host, database: parsed.database }),
    schema: typeof schema === 'string' && schema !== '' ? schema : undefined,
  };
}

/** Thrown if a file that a DATABASE_URL names, such as a certificate, cannot be read. */
export class UrlFileError extends Error {
  override readonly name = 'UrlFileError';
}

function readUrl(url: string): ReturnType<typeof parse> {
  try {
    return parse(url);
  } catch (error) {
    const { code, path } = error as { code?: string; path?: string };
    if (path === undefined) throw error;
    throw new UrlFileError(
      `DATABASE_URL names ${path}, which cannot be read (${code}). Correct the path or its permissions.`,
      {
        cause: error,
      },
    );
  }
}
