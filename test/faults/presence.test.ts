import { describe, expect, onTestFinished, test } from 'vitest';
import { type Person, signUp } from '../support/client.ts';
import { hasRedis } from '../support/redis.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { withProgram } from './program.ts';

const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const CHANGED = `subscription ($ids: [ID!]) { presenceChanged(userIds: $ids) { presence { status } } }`;
const PRESENCE = `query ($name: String!) { user(username: $name) { presence { status } } }`;

/** Longer than lease and grace time together, so that the leases of a dead node have expired. */
const LEASE_AND_GRACE_MS = 45_000;

const presence = async (person: Person, of: Person) =>
  (await person.ask(PRESENCE, { name: of.username })).user.presence.status as string;

async function arrive(person: Person) {
  const socket = person.connect();
  await socket.ask('{ viewer { id } }');
  return socket;
}

/** Starts three processes, and creates two friends. */
async function withFriends(use: (cluster: Cluster, ann: Person, ben: Person) => Promise<void>): Promise<void> {
  await withProgram([], async (program) => {
    const crashed: string[] = [];
    const onCrash = (_: number, output: string) => crashed.push(output);
    const cluster = await startCluster({ size: 3, killsPostgres: false, program, onCrash });
    onTestFinished(() => cluster.close());
    const [here] = cluster.nodes;
    if (!here) throw new Error('There are no nodes.');
    const [ann, ben] = [await signUp(here.url, 'ann'), await signUp(here.url, 'ben')];
    await ann.ask(FRIEND, { id: ben.id });
    await ben.ask(FRIEND, { id: ann.id });
    await use(cluster, ann, ben);
    expect(crashed).toEqual([]);
  });
}

describe.skipIf(!hasRedis())('presence with default leases (skipped without a redis-server)', () => {
  test('reports users of a killed node as offline within 60 s', { timeout: 240_000 }, async () => {
    await withFriends(async ({ nodes }, ann, ben) => {
      const [here, there, doomed] = nodes;
      if (!here || !there || !doomed) throw new Error('There are too few nodes.');
      const { received } = ann
        .at(here.url)
        .connect()
        .subscribe(CHANGED, { ids: [ben.id] });
      const told = () => received.map((change) => change.presence.status as string);
      const phone = await arrive(ben.at(there.url));
      await expect.poll(() => presence(ann, ben)).toBe('ONLINE');
      const laptop = await arrive(ben.at(doomed.url));

      // The node of the laptop is killed, and its lease and grace time expire. The phone is still online.
      await doomed.end('SIGKILL');
      await laptop.closed;
      const past = performance.now() + LEASE_AND_GRACE_MS;
      await expect.poll(() => performance.now() > past, { timeout: 90_000, interval: 500 }).toBe(true);
      expect(await presence(ann, ben)).toBe('ONLINE');
      expect(told()).not.toContain('OFFLINE');

      const killed = performance.now();
      await there.end('SIGKILL');
      await phone.closed;
      await expect.poll(told, { timeout: 60_000, interval: 100 }).toContain('OFFLINE');
      process.stdout.write(`Offline ${((performance.now() - killed) / 1_000).toFixed(1)} s after kill -9.\n`);
      expect(await presence(ann, ben)).toBe('OFFLINE');
    });
  });
});
