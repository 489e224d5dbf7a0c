import { afterAll, beforeAll, expect, test } from 'vitest';
import { keyOf } from '../../src/core/globalIds.ts';
import { ask, documentOf } from './asking.ts';
import { makePlace, type Place, type Someone } from './place.ts';
import { openPremises, type Premises } from './premises.ts';
import { type Role, parseOutcomes } from './table.ts';

// Rights between members: admins remove members, the owner removes admins as well, and only the owner changes roles. A
// block does not change these rights in a shared room.

let premises: Premises;
beforeAll(async () => {
  premises = await openPremises();
});
afterAll(() => premises.close());

const TARGETS = ['member', 'admin', 'blocked', 'owner', 'oneself'] as const;
type Target = (typeof TARGETS)[number];
type Deed = 'REMOVE' | 'MEMBER' | 'ADMIN' | 'OWNER';

/** Role, action, and its outcomes for another member, another admin, a blocked user, the owner, and oneself. */
const table: [Role, Deed, string][] = [
  ['member', 'REMOVE', '403 403 403 403 -'],
  ['member', 'MEMBER', '403 403 403 403 403'],
  ['member', 'ADMIN', ' 403 403 403 403 403'],
  ['member', 'OWNER', ' 403 403 403 403 403'],
  ['blocked', 'REMOVE', '403 403 - 403 -'],
  ['blocked', 'MEMBER', '403 403 - 403 403'],
  ['blocked', 'ADMIN', ' 403 403 - 403 403'],
  ['blocked', 'OWNER', ' 403 403 - 403 403'],
  ['admin', 'REMOVE', ' ok 403 ok 403 400'],
  ['admin', 'MEMBER', ' 403 403 403 403 403'],
  ['admin', 'ADMIN', '  403 403 403 403 403'],
  ['admin', 'OWNER', '  403 403 403 403 403'],
  ['owner', 'REMOVE', ' ok ok ok - 400'],
  ['owner', 'MEMBER', ' ok ok ok - 400'],
  ['owner', 'ADMIN', '  ok ok ok - 400'],
  ['owner', 'OWNER', '  ok ok ok - -'],
];

/** Returns the owner of the room, and the role of each member. */
async function ranksIn({ room }: Place) {
  const { prisma } = premises.server.node.database;
  const chatroomId = keyOf('Chatroom', room) ?? '';
  const { ownerId } = await prisma.chatroom.findUniqueOrThrow({ where: { id: chatroomId } });
  const members = await prisma.member.findMany({ where: { chatroomId } });
  return { ownerId, roles: Object.fromEntries(members.map(({ userId, role }) => [userId, role as string])) };
}

/** Returns the expected roles after an action. */
function ranksAfter(before: Awaited<ReturnType<typeof ranksIn>>, deed: Deed, { key }: Someone): typeof before {
  if (deed === 'REMOVE') {
    const others = Object.entries(before.roles).filter(([member]) => member !== key);
    return { ...before, roles: Object.fromEntries(others) };
  }
  if (deed !== 'OWNER') return { ...before, roles: { ...before.roles, [key]: deed } };
  // The former owner stays as an admin.
  return { ownerId: key, roles: { ...before.roles, [before.ownerId ?? '']: 'ADMIN', [key]: 'OWNER' } };
}

async function outcomeOf(role: Role, deed: Deed, target: Target): Promise<string> {
  const place = await makePlace(premises, role);
  const whom = target === 'oneself' ? place.me : place[target];
  const input = { chatroomId: place.room, userId: whom.id, ...(deed === 'REMOVE' ? {} : { role: deed }) };
  const query = documentOf('mutation', deed === 'REMOVE' ? 'removeChatroomMember' : 'setMemberRole', ['input']);
  const before = await ranksIn(place);
  const token = place.me.accessToken;
  const outcome = await ask(premises.server, 'HTTP', { query, variables: { input }, token });
  expect(await ranksIn(place), target).toEqual(outcome === 'done' ? ranksAfter(before, deed, whom) : before);
  return outcome;
}

test.each(table)('%s: %s', async (role, deed, line) => {
  const wanted = Object.entries(parseOutcomes(line, TARGETS)).filter(([, outcome]) => outcome !== 'not asked');
  const cells = wanted.map(async ([target]) => [target, await outcomeOf(role, deed, target as Target)] as const);
  expect(Object.fromEntries(await Promise.all(cells))).toEqual(Object.fromEntries(wanted));
});
