import { ask as askNode, pick, type Random } from '../clients.ts';
import { REFRESH } from './documents.ts';
import { type Listening, startListening } from './listening.ts';
import { createWorld, end, type Ending, lives, type Session, type World } from './world.ts';

/** An operation, and everything that must exist for it to succeed. */
export interface Asked {
  /** Null for a signed-out client. */
  session: Session | null;
  query: string;
  variables?: object;
  /** If one of these has ended, a refusal is correct. */
  stands: readonly Ending[];
}

/** Numbers of operations, and of everything they created. */
interface Counts {
  asked: number;
  /** Number of correct refusals, included in `asked`. */
  refused: number;
  people: number;
  sessions: number;
  rooms: number;
}

/** Users of one node. */
export interface Life {
  world: World;
  random: Random;
  listening: Listening;
  /** Returns the data, or null if the operation was refused. */
  ask: (asked: Asked) => Promise<any>;
  /** Refreshes a session's tokens unless they are valid for longer than `spareMs` milliseconds. */
  keepFresh: (session: Session, spareMs?: number) => Promise<void>;
  /** Ends things by an operation. The node must end the streams that depend on them. */
  finish: (over: readonly Ending[], asked: Asked) => Promise<void>;
  find: (what: string) => void;
  /** Unexpected results, with their number. */
  findings: ReadonlyMap<string, number>;
  counts: Counts;
}

/** Codes allowed for something that has just ended. INTERNAL_SERVER_ERROR is never allowed. */
const OF_WHAT_ENDED = ['NOT_FOUND', 'UNAUTHENTICATED', 'BLOCKED'];
/** Tokens with less remaining time, in milliseconds, are refreshed first. */
const TOKEN_SPARE_MS = 60_000;
/** Timeout in milliseconds. Responses are slow on a busy machine, but a missing response is a finding. */
const PATIENCE_MS = 60_000;

export function createLife(url: string, random: Random): Life {
  const world = createWorld();
  const findings = new Map<string, number>();
  const counts: Counts = { asked: 0, refused: 0, people: 0, sessions: 0, rooms: 0 };

  function find(what: string): void {
    findings.set(what, (findings.get(what) ?? 0) + 1);
  }

  /** A refresh token is valid once, so concurrent callers wait for the same refresh. */
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
    // A lookup returns null for invisible data.
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
      // A refused operation ended nothing on the node, so the client has to end the streams itself.
      if ((await ask(asked)) === null) listening.hangUp(over);
    },
  };
}

/** Stores the tokens that sign-up, sign-in and refresh return. */
export function takeTokens(session: Session, given: any): void {
  session.accessToken = given.accessToken;
  session.refreshToken = given.refreshToken;
  session.expiresAt = Date.parse(given.accessTokenExpiresAt);
}

/** Returns a random item, or undefined if there is none. */
export function choose<Item>(random: Random, items: readonly Item[]): Item | undefined {
  return items.length === 0 ? undefined : pick(random, items);
}

function fieldOf(query: string): string {
  return /{\s*(\w+)/.exec(query)?.[1] ?? query;
}
