import { ask as askNode, pick, type Random } from '../clients.ts';
import { REFRESH } from './documents.ts';
import { type Listening, startListening } from './listening.ts';
import { createWorld, end, type Ending, lives, type Session, type World } from './world.ts';

/** One operation, and what must live for it to succeed. */
export interface Asked {
  /** Null for who is not signed in. */
  session: Session | null;
  query: string;
  variables?: object;
  /** Where one of these ended meanwhile, a refusal is as it should be. */
  stands: readonly Ending[];
}

/** What has been asked, and who and what has come by it. */
interface Counts {
  asked: number;
  /** Among them what was refused as it had to be. */
  refused: number;
  people: number;
  sessions: number;
  rooms: number;
}

/** People at one node. */
export interface Life {
  world: World;
  random: Random;
  listening: Listening;
  /** Answers the data; null where it was refused. */
  ask: (asked: Asked) => Promise<any>;
  /** Trades a session's tokens for new ones, unless they last for longer than so. */
  keepFresh: (session: Session, spareMs?: number) => Promise<void>;
  /** Ends things by asking for it; what listens because of them is to be ended by the node. */
  finish: (over: readonly Ending[], asked: Asked) => Promise<void>;
  find: (what: string) => void;
  /** What nothing called for, and how often it came. */
  findings: ReadonlyMap<string, number>;
  counts: Counts;
}

/** What may be answered about something that has just ended. Nothing excuses INTERNAL_SERVER_ERROR. */
const OF_WHAT_ENDED = ['NOT_FOUND', 'UNAUTHENTICATED', 'BLOCKED'];
/** Tokens that last no longer are traded for new ones first. */
const TOKEN_SPARE_MS = 60_000;
/** On a busy machine an answer takes its time; none at all is a finding. */
const PATIENCE_MS = 60_000;

export function createLife(url: string, random: Random): Life {
  const world = createWorld();
  const findings = new Map<string, number>();
  const counts: Counts = { asked: 0, refused: 0, people: 0, sessions: 0, rooms: 0 };

  function find(what: string): void {
    findings.set(what, (findings.get(what) ?? 0) + 1);
  }

  /** A refresh token counts once: who asks while it is traded waits for the new one. */
  async function refresh(session: Session): Promise<void> {
    const { refreshToken, person } = session;
    const input = { refreshToken };
    const data = await ask({ session: null, query: REFRESH, variables: { input }, stands: [session, person] });
    if (data) takeTokens(session, data.refreshSession);
  }

  async function keepFresh(session: Session, spareMs = TOKEN_SPARE_MS): Promise<void> {
    if (session.expiresAt - Date.now() > spareMs) return;
    session.refreshing ??= refresh(session).finally(() => {
      session.refreshing = undefined;
    });
    await session.refreshing;
  }

  async function ask(asked: Asked): Promise<any> {
    const { session, query, variables = {}, stands } = asked;
    if (session) await keepFresh(session);
    counts.asked += 1;
    const answer = await askNode(url, session?.accessToken ?? null, query, variables, PATIENCE_MS);
    // What one may not see is null where it is only looked at.
    const code = answer.code ?? (Object.values(answer.data as object).includes(null) ? 'NOT_FOUND' : undefined);
    if (code === undefined) return answer.data;
    counts.refused += 1;
    if (stands.every(lives) || !OF_WHAT_ENDED.includes(code)) find(`${fieldOf(query)} was answered with ${code}`);
    return null;
  }

  const listening = startListening({ url, keepFresh, find });
  return {
    ...{ world, random, listening, keepFresh, find, findings, counts, ask },
    async finish(over, asked) {
      end(over);
      // Where it was not done, as the session ended first, what listens goes on rightly.
      if ((await ask(asked)) === null) listening.hangUp(over);
    },
  };
}

/** The tokens as signing up, signing in and refreshing give them. */
export function takeTokens(session: Session, given: any): void {
  session.accessToken = given.accessToken;
  session.refreshToken = given.refreshToken;
  session.expiresAt = Date.parse(given.accessTokenExpiresAt);
}

/** One of several; undefined of none. */
export function choose<Item>(random: Random, items: readonly Item[]): Item | undefined {
  return items.length === 0 ? undefined : pick(random, items);
}

function fieldOf(query: string): string {
  return /{\s*(\w+)/.exec(query)?.[1] ?? query;
}
