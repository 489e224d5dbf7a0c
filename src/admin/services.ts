import { createServiceToken, listServiceTokens, revokeServiceToken } from '../auth/services.ts';
import type { Command } from './admin.ts';

/** The tokens of other services, which may send system messages. */
export const serviceCommands: Record<string, Command> = {
  'create-service-token': {
    words: ['NAME'],
    help: 'Makes the token of a service, which may send system messages and nothing else. It is shown this once.',
    async run({ open }, [name = '']) {
      const token = await createServiceToken(await open(), name);
      return `${token}\n\nIt is shown this once. Send it as "Authorization: Bearer TOKEN".`;
    },
  },
  'revoke-service-token': {
    words: ['NAME'],
    help: 'Takes the token back: from now on it opens nothing.',
    async run({ open }, [name = '']) {
      await revokeServiceToken(await open(), name);
      return `The token of "${name}" counts no more.`;
    },
  },
  'list-service-tokens': {
    words: [],
    help: 'Lists the services that have a token, and since when.',
    async run({ open }) {
      const made = await listServiceTokens(await open());
      return made.map(({ name, createdAt }) => `${createdAt.toISOString()}  ${name}`).join('\n') || 'There are none.';
    },
  },
};
