import { type GraphQLObjectType, type GraphQLSchema, isObjectType } from 'graphql';
import './accounts/schema.ts';
import './chatrooms/schema.ts';
import './chatroomList/schema.ts';
import './chatroomEvents/schema.ts';
import './relationships/schema.ts';
import './chatrooms/membersSchema.ts';
import './messages/schema.ts';
import './presence/schema.ts';
import './push/schema.ts';
import './reactions/schema.ts';
import './readReceipts/schema.ts';
import './search/schema.ts';
import './systemMessages/schema.ts';
import './typing/schema.ts';
import './users/schema.ts';
import './viewerEvents/schema.ts';
import { builder } from '../graphql/builder.ts';
import { type Context, requireViewer } from '../core/context.ts';
import { encodeId } from '../core/globalIds.ts';
import { chargeMutation } from '../platform/rateLimits/rateLimits.ts';

/**
 * Mutations that do not require a signed-in user. `sendSystemMessage` requires a service token instead. All other mutations
 * check for a viewer before they validate their input.
 */
const OPEN_MUTATIONS = new Set([
  'signUp',
  'signIn',
  'signInWithIdToken',
  'refreshSession',
  'verifyEmail',
  'requestPasswordReset',
  'resetPassword',
  'sendSystemMessage',
]);

// The schema depends only on the code. A process builds it once, because building takes 50 ms.
const schema = createSchema();

/** Returns the GraphQL schema of all features. */
export function buildSchema(): GraphQLSchema {
  return schema;
}

function createSchema(): GraphQLSchema {
  const schema = builder.toSchema();
  for (const field of Object.values(schema.getMutationType()?.getFields() ?? {})) {
    const { name, resolve } = field;
    field.resolve = async (source, args, context: Context, info) => {
      // Charged for each field, because one operation may contain many mutations.
      await chargeMutation(context, name);
      if (!OPEN_MUTATIONS.has(name)) requireViewer(context);
      try {
        return await resolve?.(source, args, context, info);
      } finally {
        // Clears the loaders, so that the payload contains no data read before the write.
        context.cache = {};
      }
    };
  }
  for (const type of Object.values(schema.getTypeMap())) if (isObjectType(type)) resolveIdAtOnce(type);
  return schema;
}

/**
 * Replaces the resolver of `id` by a synchronous one. The Relay plugin awaits the key of each id, although the key is already
 * loaded. A page of messages has up to a hundred ids.
 */
function resolveIdAtOnce(type: GraphQLObjectType): void {
  const options = type.extensions['pothosOptions'] as { id?: { resolve?: (node: unknown) => string } } | undefined;
  const [{ id: field }, keyOf] = [type.getFields(), options?.id?.resolve];
  if (field && keyOf) field.resolve = (node) => encodeId(type.name, keyOf(node));
}
