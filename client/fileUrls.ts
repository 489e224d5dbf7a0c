import { ChatError, failed } from './errors.ts';
import type { Request } from './http.ts';
import { type Session, SESSION_ENDED } from './session.ts';

interface FileUrlOptions {
  /** URL of the API. */
  url: string;
  session: Session;
  request: Request;
}

/** A ticket with which the browser reads files. */
interface Ticket {
  /** Session of the ticket; see `sessionOf`. */
  session: string;
  /** Time at which the ticket is replaced, by `Date.now()`. */
  replacedAt: number;
  value: Promise<string>;
}

const FILE_TICKET = 'query FileTicket { viewer { fileTicket { value expiresAt } } }';

/** A ticket is replaced this long before it expires. */
const MARGIN_MS = 5 * 60_000;
/** A ticket is used for at least this long and at most this long, even if the clock of this device is wrong. */
const [MIN_USE_MS, MAX_USE_MS] = [60_000, 55 * 60_000];

/** Creates the function that returns URLs of files. */
export function createFileUrls({ url: apiUrl, session, request }: FileUrlOptions): (url: string) => Promise<string> {
  let ticket: Ticket | undefined;

  async function fetchTicket(current: Pick<Ticket, 'replacedAt'>): Promise<string> {
    const { data, errors } = await request(FILE_TICKET, {}, { retry: true });
    const { viewer } = (data ?? {}) as { viewer?: { fileTicket: { value: string; expiresAt: string } } | null };
    if (errors?.length) throw failed(errors);
    if (!viewer) throw signedOut();
    const usableMs = Date.parse(viewer.fileTicket.expiresAt) - Date.now() - MARGIN_MS;
    current.replacedAt = Date.now() + Math.min(Math.max(usableMs, MIN_USE_MS), MAX_USE_MS);
    return viewer.fileTicket.value;
  }

  /** Returns the ticket of a session. The same ticket is returned until it is about to expire. */
  function ticketOf(id: string): Promise<string> {
    if (ticket?.session === id && Date.now() < ticket.replacedAt) return ticket.value;
    const current: Ticket = { session: id, replacedAt: Infinity, value: Promise.resolve('') };
    current.value = fetchTicket(current).catch((error: unknown) => {
      if (ticket === current) ticket = undefined;
      throw error;
    });
    ticket = current;
    return current.value;
  }

  return async function fileUrl(path) {
    const url = new URL(path, apiUrl);
    // A ticket is never sent to another server.
    if (url.origin !== new URL(apiUrl).origin) return url.href;
    const { value, isLost } = await session.token();
    if (isLost) throw signedOut();
    if (value === null && url.origin === (globalThis as { location?: { origin: string } }).location?.origin)
      return url.href;
    url.searchParams.set('ticket', await ticketOf(sessionOf(value)));
    return url.href;
  };
}

const signedOut = () => new ChatError({ code: 'UNAUTHENTICATED', message: SESSION_ENDED });

/**
 * Returns a text that stays the same when the access token of a session is renewed. A token that is not a JWT of Parley
 * stands for itself.
 */
function sessionOf(token: string | null): string {
  const [, payload = ''] = token?.split('.') ?? [];
  try {
    const { sub, sid } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as Record<string, unknown>;
    return typeof sid === 'string' ? `${String(sub)} ${sid}` : (token ?? '');
  } catch {
    return token ?? '';
  }
}
