import { createServiceToken, listServiceTokens, revokeServiceToken } from '../../auth/serviceTokens.ts';
import { scopes } from '../../core/scopes.ts';
import type { Command } from './command.ts';

/** Commands for the tokens of other services. */
export const serviceCommands: Record<string, Command> = {
  'create-service-token': {
    parameters: ['NAME'],
    help: `Creates a token for a service and shows it once. Without --scopes, the token can only send system messages. The scopes:
${Object.entries(scopes)
  .map(([name, right]) => `  ${name.padEnd(18)}${right}`)
  .join('\n')}`,
    options: { scopes: { type: 'string', help: 'scopes of the token, separated by commas' } },
    async run({ open }, [name = ''], { scopes: listed }) {
      const granted = typeof listed === 'string' ? listed.split(',').map((scope) => scope.trim()) : undefined;
      const token = await createServiceToken(await open(), name, granted);
      // Scripts read the last line.
      return `The token is not shown again. Send it as "Authorization: Bearer TOKEN".\n\n${token}`;
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
    help: 'Lists the services with a token, when each token was created, and its scopes.',
    async run({ open }) {
      const tokens = await listServiceTokens(await open());
      const lines = tokens.map((token) => `${token.createdAt.toISOString()}  ${token.name}  ${token.scopes.join(',')}`);
      return lines.join('\n') || 'There are no service tokens.';
    },
  },
};
