import { type GraphQLField, type GraphQLSchema, isIntrospectionType, isObjectType } from 'graphql';
import { scopeNames, scopes } from '../src/core/scopes.ts';

/** Returns docs/scopes.md: which fields the scopes of service tokens open, from the extensions of the fields. */
export function scopeReference(schema: GraphQLSchema): string {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const objects = Object.values(schema.getTypeMap()).filter(
    (type) => isObjectType(type) && !isIntrospectionType(type) && !roots.includes(type),
  );
  const rows = [...roots, ...objects].flatMap((type) =>
    isObjectType(type)
      ? Object.values(type.getFields()).flatMap((field) => {
          const allowed = scopesOf(field);
          return allowed.length === 0 ? [] : [`| \`${type.name}.${field.name}\` | ${marks(allowed)} |`];
        })
      : [],
  );
  return [
    '# Scopes of service tokens\n',
    '<!-- Written by `npm run schema`. -->\n',
    'A service token may use the fields in the row of which one of its scopes has a mark. Every other query, mutation and subscription that needs a signed-in user fails with `FORBIDDEN`. Below an object that a service may read, so does every field whose value depends on a viewer, such as `Chatroom.unreadCount`.\n',
    ...scopeNames.map((name) => `- \`${name}\`: ${scopes[name]}`),
    '',
    `| | ${scopeNames.map((name) => `\`${name}\``).join(' | ')} |`,
    `| --- |${' --- |'.repeat(scopeNames.length)}`,
    ...rows,
    '',
  ].join('\n');
}

/** Returns the scopes of which a service needs one for a field; none for a field that is not open to services. */
export function scopesOf({ extensions }: Pick<GraphQLField<unknown, unknown>, 'extensions'>): readonly string[] {
  return (extensions['requiredScopes'] as readonly string[] | undefined) ?? [];
}

function marks(allowed: readonly string[]): string {
  return scopeNames.map((name) => (allowed.includes(name) ? '✓' : '')).join(' | ');
}
