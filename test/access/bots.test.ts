import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BotScope, botScopeNames } from '../../src/core/botScopes.ts';
import { BOT_MUTATIONS } from '../../src/graphql/plugins/botScopes.ts';
import { addMembers, createBot } from '../support/bots.ts';
import { bearer, codesOf, type Person, request } from '../support/client.ts';
import { send, world } from '../support/world.ts';
import { documentOf, fieldsOf, type Root } from './asking.ts';
import { mutations } from './mutations.ts';
import { makePlace, type Place } from './place.ts';
import { openPremises, type Premises } from './premises.ts';
import { queries, subscriptions } from './reading.ts';
import type { Row } from './table.ts';

// A bot may do what its scopes say and nothing else: each root field with each single scope.

let premises: Premises;
let place: Place;
let bots: Record<BotScope, Person>;
beforeAll(async () => {
  premises = await openPremises();
  place = await makePlace(premises, 'owner');
  const { ann } = await world(premises.server, 'bots');
  const made = botScopeNames.map(async (scope) => [scope, await createBot(ann, scope.replace(':', '-'), [scope])]);
  bots = Object.fromEntries(await Promise.all(made)) as Record<BotScope, Person>;
});
afterAll(() => premises.close());

/** Returns the scope that a field needs; null if no bot may use it, and undefined if each may. */
function scopeOf(root: Root, field: string): BotScope | null | undefined {
  if (root === 'mutation') return BOT_MUTATIONS[field] ?? null;
  return root === 'query' && ['server', 'viewer'].includes(field) ? undefined : 'messages:read';
}

async function isRefused(root: Root, row: Row, bot: Person): Promise<boolean> {
  const asked = await row.ask(place);
  const variables = root === 'mutation' && Object.keys(asked).length > 0 ? { input: asked } : { ...asked };
  const document = documentOf(root, row.field, Object.keys(variables), '{ __typename }');
  const { errors } =
    root === 'subscription'
      ? await bot.connect().ask(document, variables)
      : await request(bot.url, document, variables, bearer(bot));
  const refusal = errors?.find(({ message }) => /^The bot lacks the scope |^A bot cannot call /.test(message));
  if (refusal) expect(refusal.extensions.code).toBe('FORBIDDEN');
  return refusal !== undefined;
}

const firstOfEach = (rows: Row[]) => [...new Map(rows.toReversed().map((row) => [row.field, row])).values()];
const cells = (
  [
    ['query', queries],
    ['mutation', mutations],
  ] as const
).flatMap(([root, rows]) => firstOfEach(rows).map((row) => [root, row.field, row] as const));

test.each(cells)('%s %s is allowed to the bots with its scope only', async (root, field, row) => {
  const needed = scopeOf(root, field);
  for (const scope of botScopeNames)
    expect([scope, await isRefused(root, row, bots[scope])]).toEqual([scope, needed !== undefined && needed !== scope]);
});

test.each(firstOfEach(subscriptions).map((row) => [row.field, row] as const))(
  'subscription %s needs messages:read',
  async (_, row) => {
    for (const scope of botScopeNames)
      if (scope !== 'messages:read') expect(await isRefused('subscription', row, bots[scope])).toBe(true);
  },
);

test('every mutation of the table of bots exists', () => {
  expect(Object.keys(fieldsOf('Mutation'))).toEqual(expect.arrayContaining(Object.keys(BOT_MUTATIONS)));
});

test('a bot without messages:read reads its own messages only', async () => {
  const { ann, room } = await world(premises.server, 'reading');
  const bot = await createBot(ann, 'writer', ['messages:write', 'reactions:write']);
  await addMembers(ann, room, bot);
  const { id } = await send(ann, room, 'a secret');
  const codes = async (document: string) => codesOf(await request(bot.url, document, { room, id }, bearer(bot)));
  const sending = (selection: string) =>
    `mutation ($room: ID!) { sendMessage(input: { chatroomId: $room, body: "hello" }) { message ${selection} } }`;
  const reacting = (selection: string) =>
    `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message ${selection} } }`;
  expect(await codes(sending('{ id number body createdAt sender { username } chatroom { id name } }'))).toEqual([]);
  expect(await codes(reacting('{ id number }'))).toEqual([]);
  for (const document of [
    sending('{ chatroom { messages { nodes { body } } } }'),
    sending('{ chatroom { lastMessage { body } } }'),
    sending('{ replyTo { body } }'),
    `${sending('{ ...Parts }')} fragment Parts on Message { chatroom { ...Room } } fragment Room on Chatroom { topic }`,
    reacting('{ body }'),
    reacting('{ ... on Node { ... on Message { body } } }'),
    `${reacting('{ ...Text }')} fragment Text on Message { body }`,
    'query ($id: ID!) { node(id: $id) { id } }',
    '{ viewer { unreadCount } }',
    '{ viewer { chatrooms { nodes { id } } } }',
  ])
    expect([document, await codes(document)]).toEqual([document, ['FORBIDDEN']]);
});
