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

/** docs/schema.md: what can be asked, and every type, with links between them. */
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
    `What can be asked, and every type. [schema.graphql](../schema.graphql) is the same for programs; what each failure means is in [errors.md](errors.md).\n`,
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

/** A type as it is written, such as `[User!]!`, with a link to where it is described. */
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

/** docs/errors.md: every code, and what a client does about it. */
export function errorReference(): string {
  return `# Errors

${NOTE}
There is one way to fail: a GraphQL error whose \`extensions.code\` is one of these, on HTTP, SSE and WebSocket alike. Its
message tells a person what to do next. Codes never change their meaning; clients take one that they do not know for a
failure that they cannot mend. \`server { errorCodes }\` answers the list.

| Code | What it means, and what to do |
| --- | --- |
${Object.entries(errorCodes)
  .map(([code, description]) => `| \`${code}\` | ${description} |`)
  .join('\n')}

\`\`\`json
{ "errors": [{ "message": "A message needs a body.", "path": ["sendMessage"], "extensions": { "code": "BAD_USER_INPUT", "path": ["input", "body"] } }] }
\`\`\`

- \`extensions.path\` of \`BAD_USER_INPUT\` names the argument.
- \`extensions.retryAfterMs\` of \`RATE_LIMITED\` says how long to wait.
- \`extensions.requestId\` of \`INTERNAL_SERVER_ERROR\` is also in the log, with the details that are not shown.

Over WebSocket the socket itself may be closed:

| Code | What it means, and what to do |
| --- | --- |
| 1006 | The connection was cut without a word: by the network, or since the client neither read nor answered pings. Connect again and resume from the last cursor. |
| 1009 | A message of more than \`MAX_MESSAGE_KB\`. |
| 1012 | This node stops. Connect again, which reaches another one, and resume. |
| 1013 | Nobody can be admitted at the moment, the network has too many signed-out sockets, or the client sent too many messages. Connect again a little later, and resume. |
| 4400 | A frame that is not of the protocol, or a ping whose payload has more than 1 KB. |
| 4401 | The session has ended, the token is none of ours, something was sent before \`connection_init\`, or a signed-out socket was open for \`SIGNED_OUT_SECONDS\`. Sign in again. |
| 4403 | The access token has run out. Refresh it, connect again, and resume. |
| 4408 | No \`connection_init\` came within 3 s. |
| 4409 | Two operations under one id at once. |
| 4420 | The user has too many sockets open. |
| 4429 | \`connection_init\` came twice. |
`;
}
