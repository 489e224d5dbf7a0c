import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isRequiredInputField,
  isScalarType,
  isSpecifiedScalarType,
  isUnionType,
} from 'graphql';
import { errorCodes } from '../src/core/errors.ts';

const NOTE = '<!-- Written by `npm run schema`. -->\n';

/** Returns docs/schema.md: all root fields and types, with links between them. */
export function schemaReference(schema: GraphQLSchema): string {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const types = Object.values(schema.getTypeMap())
    .filter((type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type) && !roots.includes(type as never))
    .sort((a, b) => a.name.localeCompare(b.name));
  const kinds: [title: string, fits: (type: GraphQLNamedType) => boolean][] = [
    ['Objects', isObjectType],
    ['Interfaces', isInterfaceType],
    ['Unions', isUnionType],
    ['Inputs', isInputObjectType],
    ['Enums', isEnumType],
    ['Scalars', isScalarType],
  ];
  return [
    `# The schema\n\n${NOTE}`,
    `All queries, mutations, subscriptions and types. [schema.graphql](../schema.graphql) is the machine-readable form. [errors.md](errors.md) explains the error codes.\n`,
    ...['Queries', 'Mutations', 'Subscriptions'].map((title, i) => `## ${title}\n\n${membersOf(roots[i])}`),
    ...kinds.map(
      ([title, fits]) =>
        `## ${title}\n\n${types
          .filter(fits)
          .map((type) => `### ${type.name}\n\n${paragraph(type.description)}${membersOf(type)}`)
          .join('\n')}`,
    ),
  ].join('\n');
}

function membersOf(type: GraphQLNamedType | null | undefined): string {
  if (isUnionType(type)) return `One of ${type.getTypes().map(link).join(', ')}.\n`;
  if (isEnumType(type)) return list(type.getValues().map(({ name, description }) => `\`${name}\`${dash(description)}`));
  if (isInputObjectType(type)) return list(Object.values(type.getFields()).map(describeInput));
  if (isObjectType(type) || isInterfaceType(type)) return list(Object.values(type.getFields()).map(describeField));
  return '';
}

function describeField({ name, type, args, description, deprecationReason }: GraphQLField<unknown, unknown>): string {
  const deprecated = deprecationReason == null ? '' : ` **Deprecated:** ${deprecationReason}`;
  const lines = args.map((argument) => `\n  - ${describeInput(argument)}`);
  return `**\`${name}\`**: ${link(type)}${dash(description)}${deprecated}${lines.join('')}`;
}

function describeInput(input: GraphQLArgument | GraphQLInputField): string {
  const { name, type, description, defaultValue } = input;
  const given = defaultValue === undefined ? '' : `, ${JSON.stringify(defaultValue)} if absent`;
  return `\`${name}\`: ${link(type)}${isRequiredInputField(input) ? ', required' : given}${dash(description)}`;
}

/** Returns a type in its notation, such as `[User!]!`, linked to its description. */
function link(type: { toString(): string }): string {
  const named = getNamedType(type as GraphQLNamedType);
  return isSpecifiedScalarType(named)
    ? `\`${type.toString()}\``
    : `[\`${type.toString()}\`](#${named.name.toLowerCase()})`;
}

function dash(description: string | null | undefined): string {
  return description ? ` — ${oneLine(description)}` : '';
}

function paragraph(description: string | null | undefined): string {
  return description ? `${oneLine(description)}\n\n` : '';
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}\n`).join('');
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/** Returns docs/errors.md: all codes, and how a client handles them. */
export function errorReference(): string {
  return `# Errors

${NOTE}
Every failure is a GraphQL error whose \`extensions.code\` is one of these codes, over HTTP, SSE and WebSocket. Its message
tells a person what to do next. The meaning of a code never changes. Clients treat an unknown code as a failure that they
cannot resolve. \`server { errorCodes }\` returns the list of codes.

| Code | Meaning, and what to do |
| --- | --- |
${Object.entries(errorCodes)
  .map(([code, description]) => `| \`${code}\` | ${description} |`)
  .join('\n')}

\`\`\`json
{ "errors": [{ "message": "A message needs a body.", "path": ["sendMessage"], "extensions": { "code": "BAD_USER_INPUT", "path": ["input", "body"] } }] }
\`\`\`

- \`BAD_USER_INPUT\`: \`extensions.path\` names the argument.
- \`RATE_LIMITED\`: \`extensions.retryAfterMs\` is the time to wait in milliseconds.
- \`LIMIT_REACHED\`: \`extensions.limit\` is the maximum number of objects, or of bytes.
- \`MUTED\`: \`extensions.until\` is the time at which the mute ends, as a \`DateTime\`.
- \`INTERNAL_SERVER_ERROR\`: \`extensions.requestId\` is also in the log, next to the details of the failure. While the server
  cannot reach its database or its file store, \`extensions.retryAfterMs\` is set, and an operation that was not executed has the HTTP status 503 with
  \`Retry-After\`.

The server may also close a WebSocket, with one of these codes:

| Code | Meaning, and what to do |
| --- | --- |
| 1006 | The connection ended without a close frame, because the network failed, or because the client did not read or answer pings. Connect again and resume from the last cursor. |
| 1009 | The client sent a message larger than \`MAX_MESSAGE_KB\`. Send less at once. |
| 1012 | This node is shutting down. Connect again, which reaches another node, and resume. |
| 1013 | The server admits no sockets at the moment, the client’s network has too many signed-out sockets, or the client sent too many messages. Connect again later, and resume. |
| 4400 | The client sent a message that is not part of the protocol, or a ping with a payload of more than 1 KB. |
| 4401 | The session has ended, the token is invalid, the client sent a message before \`connection_init\`, or a signed-out socket was open for \`SIGNED_OUT_SECONDS\`. Sign in again. |
| 4403 | The access token has expired. Refresh it, connect again, and resume. |
| 4408 | The client did not send \`connection_init\` within 3 s. |
| 4409 | The client started two concurrent operations with one id. |
| 4420 | The user has too many open sockets. Close one, or try again later. |
| 4429 | The client sent \`connection_init\` twice. |
`;
}
