import { setTimeout as pass } from 'node:timers/promises';
import { expect, onTestFailed, onTestFinished, test } from 'vitest';
import { startProxy } from '../faults/proxy.ts';
import { WIDE_LIMITS } from '../support/server.ts';
import { world } from '../support/world.ts';
import { startRestarting } from './restarting.ts';
import { apolloScreen, type OpenScreen, SCREEN, type Screen, urqlScreen } from './screens.ts';

/** Number of messages that each of two people writes. */
const COUNT = Number(process.env['SCREEN_MESSAGES'] ?? 45);
const INTERVAL_MS = 60;
/** A port without a listener. */
const NOWHERE = 9;

const CLIENTS: [string, OpenScreen][] = [
  ['Apollo Client', apolloScreen(false)],
  ['Apollo Client with optimistic results', apolloScreen(true)],
  ['urql', urqlScreen(false)],
  ['urql with optimistic results', urqlScreen(true)],
];

/** Starts a server that can be restarted, and two people whose clients show a room. */
async function openScreens(open: OpenScreen) {
  const server = await startRestarting(WIDE_LIMITS);
  const { ann, ben, room } = await world(server);
  const port = Number(new URL(server.url).port);
  const proxy = await startProxy(port);
  onTestFinished(() => {
    proxy.close();
  });
  const people = [ann, ben];
  const screens = await Promise.all(people.map((who) => open(who.at(`http://127.0.0.1:${proxy.port}`), room)));
  return {
    screens: screens as [Screen, Screen],
    /** Returns the data that the server returns to each person. */
    truth: () => Promise.all(people.map((who) => who.ask(SCREEN, { room, last: 100 }))),
    /** Restarts the server. `suddenly` resets all connections first, without close frames. */
    restart: async (suddenly: boolean) => {
      if (suddenly) {
        proxy.aim(NOWHERE);
        proxy.reset();
      }
      await server.stop();
      await server.start();
      proxy.aim(port);
    },
  };
}

/** Returns rows without their cursors, which differ between queries. */
const rowsOf = ({ chatroom }: any): any[] =>
  chatroom.messages.edges.map(({ node }: any) => ({ ...node, cursor: undefined }));
const badgesOf = ({ viewer, chatroom }: any) => [viewer.unreadCount, chatroom.unreadCount];

test.for(CLIENTS)('%s shows the stored messages over restarts', { timeout: 180_000 }, async ([, open]) => {
  const { screens, truth, restart } = await openScreens(open);
  const pending: Promise<unknown>[] = [];
  const changed = new Set<string>();
  onTestFailed(() => {
    console.log(
      screens
        .map((screen) =>
          rowsOf(screen.data())
            .map(({ body }) => body)
            .join(' | '),
        )
        .join('\n'),
    );
  });
  /** Changes the newest stored message of a person that has not been changed. */
  const change = (screen: Screen, sender: string, kind: Parameters<Screen['change']>[0]) => {
    const row = rowsOf(screen.data()).findLast(
      ({ id, clientMessageId, sender: { username } }) =>
        username === sender && id !== clientMessageId && !changed.has(id),
    );
    if (!row) return;
    changed.add(row.id);
    pending.push(screen.change(kind, { id: row.id, ...(kind === 'edit' ? { body: `${row.body} edited` } : {}) }));
  };

  const [annScreen, benScreen] = screens;
  let restarting: Promise<void> = Promise.resolve();
  for (let i = 1; i <= COUNT; i += 1) {
    pending.push(annScreen.send(`ann ${i}`), benScreen.send(`ben ${i}`));
    if (i % 4 === 0) change(annScreen, 'ben', 'react');
    if (i % 5 === 0) change(benScreen, 'ben', 'edit');
    if (i % 9 === 0) change(annScreen, 'ann', 'remove');
    if (i === Math.round(COUNT / 3)) pending.push((restarting = restart(false)));
    if (i === Math.round((COUNT * 2) / 3)) pending.push(restarting.then(() => restart(true)));
    await pass(INTERVAL_MS);
  }
  await Promise.all(pending);
  change(annScreen, 'ben', 'react');
  await pending.at(-1);
  // Ann has not read these messages.
  for (const body of ['one', 'two', 'three']) await benScreen.send(body);

  const stored = await truth();
  for (const [i, screen] of screens.entries()) {
    await expect.poll(() => rowsOf(screen.data()), { timeout: 20_000 }).toEqual(rowsOf(stored[i]));
    await expect.poll(() => badgesOf(screen.data())).toEqual(badgesOf(stored[i]));
  }
  expect(stored[0].viewer.unreadCount).toBeGreaterThanOrEqual(3);
  const rows = rowsOf(stored[0]);
  for (const name of ['ann', 'ben']) {
    const own = rows.filter(({ sender, body }) => sender.username === name && /\d/.test(body ?? ''));
    const places = own.map(({ body }) => Number(body.split(' ')[1]));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  }
  expect(rows).toHaveLength(2 * COUNT + 3);
  expect(rows.filter(({ reactions }) => reactions.length > 0).length).toBeGreaterThan(0);
});
