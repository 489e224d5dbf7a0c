import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { createAccounts } from './support/accounts.ts';
import type { Person } from './support/client.ts';
import { mutationOf, outcomeFor } from './support/operations.ts';
import { BLOCK, createRoom, REMOVE, SET_ROLE } from './support/rooms.ts';
import { holdTransaction, startTestServer, type TestServer } from './support/server.ts';
import { send } from './support/world.ts';

/** Outcomes of `may()` in each room, by role and by whether one of two members has blocked the other. */
const [[, , , ...ACTIONS] = [], ...RULES] = `
  room    role    block  SEND       REACT      EDIT_OWN   DELETE_OWN  DELETE_OTHERS
  DIRECT  MEMBER  no     MAY        MAY        MAY        MAY         FORBIDDEN
  DIRECT  MEMBER  yes    BLOCKED    BLOCKED    BLOCKED    MAY         FORBIDDEN
  DIRECT  NONE    no     NOT_FOUND  NOT_FOUND  NOT_FOUND  NOT_FOUND   NOT_FOUND
  GROUP   OWNER   no     MAY        MAY        MAY        MAY         MAY
  GROUP   OWNER   yes    MAY        MAY        MAY        MAY         MAY
  GROUP   ADMIN   no     MAY        MAY        MAY        MAY         MAY
  GROUP   ADMIN   yes    MAY        MAY        MAY        MAY         MAY
  GROUP   MEMBER  no     MAY        MAY        MAY        MAY         FORBIDDEN
  GROUP   MEMBER  yes    MAY        MAY        MAY        MAY         FORBIDDEN
  GROUP   NONE    no     NOT_FOUND  NOT_FOUND  NOT_FOUND  NOT_FOUND   NOT_FOUND
  GROUP   NONE    yes    NOT_FOUND  NOT_FOUND  NOT_FOUND  NOT_FOUND   NOT_FOUND
  OPEN    OWNER   no     MAY        MAY        MAY        MAY         MAY
  OPEN    OWNER   yes    MAY        MAY        MAY        MAY         MAY
  OPEN    ADMIN   no     MAY        MAY        MAY        MAY         MAY
  OPEN    ADMIN   yes    MAY        MAY        MAY        MAY         MAY
  OPEN    MEMBER  no     MAY        MAY        MAY        MAY         FORBIDDEN
  OPEN    MEMBER  yes    MAY        MAY        MAY        MAY         FORBIDDEN
  OPEN    NONE    no     NOT_FOUND  NOT_FOUND  NOT_FOUND  NOT_FOUND   NOT_FOUND
  OPEN    NONE    yes    NOT_FOUND  NOT_FOUND  NOT_FOUND  NOT_FOUND   NOT_FOUND
`
  .trim()
  .split('\n')
  .map((line) => line.trim().split(/\s+/));

interface Scene {
  room: string;
  /** User who acts, with the role of the row. */
  actor: Person;
  /** Member of the block, with the actor. */
  peer: Person;
  /** Messages of the actor, and one of a member without a block, or of the peer of a DIRECT room. */
  messages: { edited: string; deleted: string; ofOther: string };
}

/** Creates a room in which a user has a role and has sent messages. */
async function createScene({ node, url }: TestServer, kind: string, role: string): Promise<Scene> {
  const names = ['actor', 'peer', 'third'].map((name) => `${name}.${crypto.randomUUID().slice(0, 8)}`);
  const [actor, peer, third] = (await createAccounts(node, url, names)) as [Person, Person, Person];
  const isDirect = kind === 'DIRECT';
  // A user without a role is the third one in a DIRECT room, which nobody leaves.
  const [creator, ...members] =
    isDirect && role === 'NONE' ? [peer, third] : isDirect ? [actor, peer] : [third, actor, peer];
  const memberIds = members.map(({ id }) => id);
  const room = await createRoom(creator, { kind, ...(isDirect ? {} : { name: 'A room' }), memberIds });
  const sendAs = async (person: Person) => (await send(person, room, 'word')).id as string;
  const author = memberIds.includes(actor.id) || creator === actor ? actor : third;
  const messages = {
    edited: await sendAs(author),
    deleted: await sendAs(author),
    ofOther: await sendAs(isDirect ? peer : third),
  };
  if (role === 'OWNER' || role === 'ADMIN') await third.ask(SET_ROLE, { id: room, user: actor.id, role });
  if (role === 'NONE' && !isDirect) await third.ask(REMOVE, { id: room, user: actor.id });
  return { room, actor, peer, messages };
}

/** Runs every action over the API. Returns the outcomes in the terms of `may()`. */
async function act({ room, actor, messages: { edited, deleted, ofOther } }: Scene): Promise<string[]> {
  const inputs: Record<string, [mutation: string, input: object]> = {
    SEND: ['sendMessage', { chatroomId: room, body: 'word' }],
    REACT: ['addReaction', { messageId: ofOther, emoji: '👍' }],
    EDIT_OWN: ['editMessage', { messageId: edited, body: 'another word' }],
    DELETE_OWN: ['deleteMessage', { messageId: deleted }],
    DELETE_OTHERS: ['deleteMessage', { messageId: ofOther }],
  };
  const outcomes: string[] = [];
  for (const action of ACTIONS) {
    const [mutation, input] = inputs[action] ?? ['', {}];
    const outcome = await outcomeFor(actor, mutationOf(mutation), { input });
    outcomes.push(outcome === 'done' ? 'MAY' : outcome);
  }
  return outcomes;
}

/** Returns the outcomes of the SQL function. */
async function decide({ node }: TestServer, { room, actor }: Scene): Promise<string[]> {
  const rows = await node.database.query<{ outcome: string }>(sql`
    SELECT may(c, m, action) AS outcome FROM unnest(${ACTIONS}::text[]) WITH ORDINALITY a (action, place)
      CROSS JOIN chatrooms c
      LEFT JOIN members m ON m.chatroom_id = c.id AND m.user_id = ${keyOf('User', actor.id)}::uuid
      WHERE c.id = ${keyOf('Chatroom', room)}::uuid ORDER BY place`);
  return rows.map(({ outcome }) => outcome);
}

describe('may()', () => {
  test.each(['DIRECT', 'GROUP', 'OPEN'])('decides as the API in a %s room, by role and block', async (kind) => {
    const server = await startTestServer();
    for (const [, role = '', block, ...expected] of RULES.filter(([room]) => room === kind)) {
      // The outcome does not depend on which of the two has blocked the other.
      for (const isBlocker of block === 'yes' ? [true, false] : [true]) {
        const scene = await createScene(server, kind, role);
        const [blocker, blocked] = isBlocker ? [scene.actor, scene.peer] : [scene.peer, scene.actor];
        if (block === 'yes') await blocker.ask(BLOCK, { id: blocked.id });
        const row = [kind, role, block, isBlocker].join(' ');
        expect([row, ...(await decide(server, scene))]).toEqual([row, ...expected]);
        expect([row, ...(await act(scene))]).toEqual([row, ...expected]);
      }
    }
  });

  test('refuses actions that it does not know', async () => {
    const server = await startTestServer();
    const { room } = await createScene(server, 'GROUP', 'OWNER');
    const outcomes = await server.node.database.query(sql`
      SELECT may(c, m, action) AS outcome FROM chatrooms c JOIN members m ON m.chatroom_id = c.id AND m.role = 'OWNER',
        unnest(ARRAY['DANCE', NULL]) action WHERE c.id = ${keyOf('Chatroom', room)}::uuid`);
    expect(outcomes).toEqual([{ outcome: 'FORBIDDEN' }, { outcome: 'FORBIDDEN' }]);
  });

  test('counts a block that is committed while actions wait for the room', async () => {
    const server = await startTestServer();
    const scene = await createScene(server, 'DIRECT', 'MEMBER');
    const { database } = server.node;
    const release = await holdTransaction(
      server,
      'SELECT FROM chatrooms WHERE id = $1 FOR UPDATE',
      keyOf('Chatroom', scene.room) ?? '',
    );
    const { room, actor, peer, messages } = scene;
    const waiting = [
      outcomeFor(actor, mutationOf('sendMessage'), { input: { chatroomId: room, body: 'word' } }),
      outcomeFor(actor, mutationOf('addReaction'), { input: { messageId: messages.ofOther, emoji: '👍' } }),
      outcomeFor(actor, mutationOf('editMessage'), { input: { messageId: messages.edited, body: 'another word' } }),
    ];
    const countWaiting = async () =>
      (
        await database.query(sql`
          SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
      ).length;
    await expect.poll(countWaiting).toBe(3);
    await peer.ask(BLOCK, { id: actor.id });
    await release();
    expect(await Promise.all(waiting)).toEqual(['BLOCKED', 'BLOCKED', 'BLOCKED']);
  });
});
