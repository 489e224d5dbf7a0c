import { createServiceToken, listServiceTokens, revokeServiceToken } from '../../auth/serviceTokens.ts';
import type { Command } from './command.ts';

/** Commands for the tokens with which other services send system messages. */
export const serviceCommands: Record<string, Command> = {
  'create-service-token': {
    parameters: ['NAME'],
    help: 'Creates a token for a service. It allows sending system messages and nothing else. It is shown only once.',
    async run({ open }, [name = '']) {
      const token = await createServiceToken(await open(), name);
      return `${token}\n\nThe token is not shown again. Send it as "Authorization: Bearer TOKEN".`;
    },
  },
  'revoke-service-token': {
    parameters: ['NAME'],
    help: 'Revokes the token of a service at once.',
    async run({ open }, [name = '']) {
      await revokeServiceToken(await open(), name);
      return `The token of "${name}" has been revoked.`;
    },
  },
  'list-service-tokens': {
    parameters: [],
    help: 'Lists the services with a token, and when each token was created.',
    async run({ open }) {
      const tokens = await listServiceTokens(await open());
      const lines = tokens.map(({ name, createdAt }) => `${createdAt.toISOString()}  ${name}`);
      return lines.join('\n') || 'There are no service tokens.';
    },
  },
};
