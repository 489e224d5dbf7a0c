import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterNode } from './cluster.ts';
import { ask, type Cast, insist, type Person, pick, type Random, type Room } from './clients.ts';
import type { History } from './history.ts';

const REMOVE = `mutation ($input: RemoveChatroomMemberInput!) { removeChatroomMember(input: $input) { chatroom { id } } }`;
const ADD = `mutation ($input: ChatroomMembersInput!) { addChatroomMembers(input: $input) { chatroom { id } } }`;
const BLOCK = `mutation ($input: UserTargetInput!) { blockUser(input: $input) { user { id } } }`;
const UNBLOCK = `mutation ($input: UserTargetInput!) { unblockUser(input: $input) { user { id } } }`;

/** Maximum duration of any request in milliseconds, whatever fails. */
const LONGEST_OPERATION_MS = 10_000;

/**
 * Removes and adds members, and has readers block and unblock writers, until it is stopped. Everything is restored at
 * the end.
 */
export function startActors(options: { nodes: readonly ClusterNode[]; cast: Cast; history: History; random: Random }): {
  stop(): Promise<void>;
} {
  const { nodes, cast, history, random } = options;
  let stopped = false;
  const pause = async (least: number, most: number) => {
    const until = performance.now() + least + random() * (most - least);
    while (!stopped && performance.now() < until) await sleep(50);
  };

  async function act(person: Person, query: string, input: object, doubtful: Set<ClusterNode>): Promise<void> {
    const { code } = await insist(nodes, random, person, query, { input }, doubtful);
    // NOT_FOUND means that an earlier attempt, whose response was lost, removed the member.
    if (code !== undefined && !(code === 'NOT_FOUND' && query === REMOVE))
      throw new Error(`${query}\n${JSON.stringify(input)}\n${code}`);
  }

  /**
   * Waits until no abandoned request can still take effect. A frozen node may execute one when it wakes, and any node
   * while it waits for the database. Otherwise a late block could take effect after its removal.
   */
  async function settle(doubtful: Set<ClusterNode>): Promise<void> {
    if (doubtful.size === 0) return;
    for (const { url } of doubtful)
      while ((await ask(url, null, '{ server { version } }', {})).code !== undefined) await sleep(200);
    await sleep(LONGEST_OPERATION_MS);
    doubtful.clear();
  }

  async function removeAndAdd(person: Person, room: Room): Promise<void> {
    const about = { who: 'admin', room: room.name, user: person.username };
    const doubtful = new Set<ClusterNode>();
    history.note({ ...about, what: 'removing' });
    await act(cast.admin, REMOVE, { chatroomId: room.id, userId: person.id }, doubtful);
    history.note({ ...about, what: 'removed' });
    await Promise.all([pause(1_500, 6_000), settle(doubtful)]);
    history.note({ ...about, what: 'adding' });
    await act(cast.admin, ADD, { chatroomId: room.id, userIds: [person.id] }, doubtful);
    history.note({ ...about, what: 'added' });
    await settle(doubtful);
  }

  async function blockAndUnblock(person: Person, whom: Person): Promise<void> {
    const about = { who: person.username, user: person.username, whom: whom.username };
    const doubtful = new Set<ClusterNode>();
    history.note({ ...about, what: 'blocking' });
    await act(person, BLOCK, { userId: whom.id }, doubtful);
    history.note({ ...about, what: 'blocked' });
    await Promise.all([pause(1_500, 6_000), settle(doubtful)]);
    history.note({ ...about, what: 'unblocking' });
    await act(person, UNBLOCK, { userId: whom.id }, doubtful);
    history.note({ ...about, what: 'unblocked' });
    await settle(doubtful);
  }

  const repeat = async (turn: () => Promise<void>) => {
    for (await pause(1_000, 4_000); !stopped; await pause(1_500, 6_000)) await turn();
  };
  const acting = Promise.all([
    ...cast.volatile.map((person, i) =>
      // Mostly removes members from the room that they read.
      repeat(() => removeAndAdd(person, pick(random, [...cast.rooms, ...cast.rooms.slice(i, i + 1)]))),
    ),
    ...cast.blockers.map((person) => repeat(() => blockAndUnblock(person, pick(random, cast.writers)))),
  ]);
  return {
    async stop() {
      stopped = true;
      await acting;
    },
  };
}
