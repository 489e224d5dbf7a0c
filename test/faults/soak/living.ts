import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { blockSomebody, changeMembers, deleteAccount, endRoom, goAway, makeRoom } from './coming.ts';
import { refresh, signIn, signOut, signUp, unblockSomebody } from './coming.ts';
import { befriend, deleteMessage, edit, goSilent, listen, lookAtMembers, lookAtRooms } from './doing.ts';
import { markRead, page, react, search, send, tellTyping } from './doing.ts';
import type { Life } from './life.ts';

/** Target numbers of users, rooms and streams. */
export interface Size {
  people: number;
  rooms: number;
  streams: number;
}

type Deed = (life: Life) => Promise<void>;

/** Actions with their relative frequencies. Everything that they end is replaced at once. */
const DEEDS: readonly (readonly [weight: number, deed: Deed])[] = [
  ...([
    [24, send],
    [3, edit],
    [2, deleteMessage],
    [6, react],
    [8, markRead],
    [8, tellTyping],
  ] as const),
  ...([
    [7, page],
    [2, lookAtMembers],
    [4, lookAtRooms],
    [2, search],
  ] as const),
  ...([
    [2, befriend],
    [0.7, blockSomebody],
    [0.7, unblockSomebody],
  ] as const),
  ...([
    [5, changeMembers],
    [2.5, endRoom],
  ] as const),
  ...([
    [4, signIn],
    [4, signOut],
    [2, refresh],
    [3, goAway],
    [6, goSilent],
  ] as const),
];
const ALL_WEIGHTS = DEEDS.reduce((sum, [weight]) => sum + weight, 0);

/** Maximum number of concurrent actions. With a hanging node, a steady rate would otherwise accumulate them. */
const MOST_UNDER_WAY = 40;
const TURN_MS = 20;

export interface Living {
  /** Resolves when all target numbers are reached for the first time. */
  full: Promise<void>;
  /** Number of actions skipped since then because too many were running. */
  leftOut: number;
  /** Removes all users, with everything that belongs to them. */
  end(): Promise<void>;
}

/** Runs actions at a steady rate, whatever they are. */
export function startLiving(life: Life, size: Size, perSecond: number): Living {
  const { world, random, listening } = life;
  const underWay = new Set<Promise<void>>();
  const coming = { people: 0, rooms: 0 };
  let owed = 0;
  let isFull = false;
  let onFull: () => void = () => undefined;
  const living: Living = {
    full: new Promise((resolve) => (onFull = resolve)),
    leftOut: 0,
    async end() {
      clearInterval(timer);
      while (underWay.size > 0) await Promise.race([...underWay, sleep(100)]);
      const limit = pLimit(4);
      await Promise.all(world.people.map((person) => limit(() => deleteAccount(life, person))));
      await listening.stop();
    },
  };

  /** Replaces missing users, rooms and streams before any other action. */
  function next(): Promise<void> {
    for (const [what, deed] of [['people', signUp] as const, ['rooms', makeRoom] as const]) {
      if (world[what].length + coming[what] >= size[what]) continue;
      coming[what] += 1;
      return deed(life).finally(() => (coming[what] -= 1));
    }
    if (listening.streams.size < size.streams) return listen(life);
    isFull = true;
    onFull();
    let left = random() * ALL_WEIGHTS;
    const [, deed] = DEEDS.find(([weight]) => (left -= weight) < 0) ?? [0, send];
    return deed(life);
  }

  const timer = setInterval(() => {
    owed += (perSecond * TURN_MS) / 1_000;
    for (; owed >= 1; owed -= 1) {
      if (underWay.size >= MOST_UNDER_WAY) living.leftOut += Number(isFull);
      else {
        const doing = next().finally(() => underWay.delete(doing));
        underWay.add(doing);
      }
    }
  }, TURN_MS);
  return living;
}
