import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import parseRange from 'range-parser';
import { authenticate } from '../auth/sessions.ts';
import type { Config } from '../core/config/settings.ts';
import type { AccessClaims, ServerNode } from '../core/context.ts';
import { ChatError } from '../core/errors.ts';
import { variantOf } from '../features/attachments/attachments.ts';
import { findReadableFile, type ReadableFile } from '../features/attachments/reading.ts';
import { receiveUpload } from '../features/attachments/receiving.ts';
import { findPreviewImage } from '../features/linkPreviews/pageImages.ts';
import { allowsOrigin } from '../graphql/origins.ts';
import { clientOf, credentialOf } from '../graphql/transport.ts';
import type { ByteRange, FileStore } from '../platform/files/fileStore.ts';
import { READ_COST } from '../platform/rateLimits/rateLimits.ts';
import { createDownloads, type Downloads } from './downloads.ts';

/** Beginning of the paths of files and uploads. */
export const FILES_PATH = '/files/';

/**
 * Maximum number of unfinished requests that send the bytes of one upload. Each needs as much of the disk as the file.
 * Several windows of a user may send the same file.
 */
const MAX_UPLOAD_REQUESTS = 4;

/**
 * Maximum time of a request that sends the bytes of an upload, in milliseconds. 25 MB then need 10 kbit/s. The URL need only
 * be valid when the request begins, as at an object store.
 */
const MAX_UPLOAD_MS = 6 * 3_600_000;

/** Lifetime of the URL of an object store to which a request is redirected, in seconds. */
const REDIRECT_SECONDS = 60;

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  // A file that is opened as a page runs no script, and has no access to this origin.
  'content-security-policy': 'sandbox',
  // The URL may contain a ticket.
  'referrer-policy': 'no-referrer',
  // A browser must not use a response without CORS headers for a page that needs them.
  vary: 'origin',
};

/** Handles the requests for files of one node. */
export interface FileServer {
  serve(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<void>;
  /** Connections on which an upload arrives. It may take longer than other requests. */
  uploading: WeakSet<Duplex>;
}

/** A response without a body of its own. */
class Refusal extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    [this.status, this.headers] = [status, headers];
  }
}

const notFound = () => new Refusal(404, 'There is no such file, or you may not see it.');

/** Creates the handler for `/files/uploads/ID` and `/files/ID/VARIANT`. */
export function createFileServer(config: Config, node: ServerNode): FileServer {
  const uploading = new WeakSet<Duplex>();
  const receiving = new Map<string, Set<IncomingMessage>>();
  const downloads = createDownloads();

  async function serve(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<void> {
    response.setHeaders(new Map(Object.entries({ ...SECURITY_HEADERS, ...corsHeaders(config, request) })));
    try {
      if (request.method === 'OPTIONS') response.writeHead(204).end();
      else if (pathname.startsWith(`${FILES_PATH}uploads/`))
        await receive(
          { node, uploading, receiving },
          request,
          response,
          pathname.slice(`${FILES_PATH}uploads/`.length),
        );
      else await send({ config, node, downloads }, request, response, pathname);
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      // Proxies may store a response with 404, and would return it to users who may read the file.
      const headers = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' };
      response.writeHead(refusal.status, { ...headers, ...refusal.headers });
      response.end(`${refusal.message}\n`);
    }
  }

  return { serve, uploading };
}

function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refusal) return error;
  if (!(error instanceof ChatError) || error.code !== 'RATE_LIMITED') return null;
  const seconds = Math.ceil(Number(error.details['retryAfterMs']) / 1_000);
  return new Refusal(429, error.message, { 'retry-after': String(seconds) });
}

/** Returns the headers that allow pages of `ALLOWED_ORIGINS` to send and read files. */
function corsHeaders(config: Config, { headers: { origin, host } }: IncomingMessage): Record<string, string> {
  if (origin === undefined || !allowsOrigin(config, origin, host)) return {};
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    'access-control-allow-methods': 'GET, HEAD, PUT',
    'access-control-allow-headers': 'authorization, content-type, range, if-range, if-none-match',
    'access-control-expose-headers': 'content-disposition, content-range, etag',
    'access-control-max-age': '7200',
  };
}

/** Returns the value of a parameter in the query of a URL. */
function parameterOf({ url = '' }: IncomingMessage, name: string): string | null {
  return new URLSearchParams(url.slice(url.indexOf('?') + 1)).get(name);
}

interface Receiving {
  node: ServerNode;
  uploading: WeakSet<Duplex>;
  /** The requests that send the bytes of an upload, the oldest first, by the id of the upload. */
  receiving: Map<string, Set<IncomingMessage>>;
}

/**
 * Stores the bytes of an upload. One request too many ends the oldest one for the same upload, which belongs to a broken
 * connection or an attack: unfinished requests would fill the disk without counting as storage of the user.
 */
async function receive(
  { node, uploading, receiving }: Receiving,
  request: IncomingMessage,
  response: ServerResponse,
  uploadId: string,
): Promise<void> {
  if (request.method !== 'PUT') throw new Refusal(405, 'Send the bytes with PUT.', { allow: 'PUT' });
  if (!(await node.fileTokens.verifyUpload(parameterOf(request, 'token') ?? '', uploadId)))
    throw new Refusal(403, 'The URL has expired or was changed. Query the upload again for a new URL.');
  const { socket, headers } = request;
  const requests = receiving.get(uploadId) ?? new Set();
  receiving.set(uploadId, requests.add(request));
  const [oldest] = requests;
  if (oldest && requests.size > MAX_UPLOAD_REQUESTS) {
    requests.delete(oldest);
    oldest.destroy();
  }
  uploading.add(socket);
  const timer = setTimeout(() => {
    request.destroy();
  }, MAX_UPLOAD_MS);
  try {
    const announced = headers['content-length'];
    const outcome = await receiveUpload(node, uploadId, request, announced === undefined ? null : Number(announced));
    if (outcome === 'NOT_FOUND') throw notFound();
    if (outcome === 'TOO_LONG')
      throw new Refusal(413, 'There are more bytes than were announced. Create a new upload.');
    if (outcome === 'TOO_SHORT') throw new Refusal(400, 'There are fewer bytes than were announced. Send all of them.');
    response.writeHead(200).end();
  } catch (error) {
    // The client, a later request or the timer has closed the connection: there is nobody to respond to.
    if (!isClosedConnection(error)) throw error;
  } finally {
    clearTimeout(timer);
    uploading.delete(socket);
    requests.delete(request);
    if (requests.size === 0 && receiving.get(uploadId) === requests) receiving.delete(uploadId);
  }
}

function isClosedConnection(error: unknown): boolean {
  return ['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes(String((error as { code?: unknown }).code));
}

/** Sends a file, after checking that the session is active and that the user may read the file now. */
async function send(
  { config, node, downloads }: { config: Config; node: ServerNode; downloads: Downloads },
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new Refusal(405, 'Read the file with GET.', { allow: 'GET, HEAD' });
  const [id = '', name = '', ...rest] = pathname.slice(FILES_PATH.length).split('/');
  const variant = variantOf(name);
  if (!UUID.test(id) || variant === null || rest.length > 0 || !node.files) throw notFound();
  const viewer = await viewerOf(config, node, request);
  if (!viewer)
    throw new Refusal(
      401,
      'Send an access token as "Authorization: Bearer TOKEN", or a ?ticket= of Viewer.fileTicket.',
      {
        'www-authenticate': 'Bearer',
      },
    );
  if (viewer.bot && !viewer.bot.scopes.includes('messages:read'))
    throw new Refusal(403, 'The bot lacks the scope messages:read. Create a bot with this scope.');
  await node.rateLimits.charge({ viewer, service: null, client: clientOf(config, request) }, READ_COST);
  const find = async () =>
    (await findReadableFile(node, viewer.userId, id, variant)) ??
    (variant === 'preview' ? await findPreviewImage(node, viewer.userId, id) : null);
  const file = await find();
  if (!file) throw notFound();
  const { mediaType, disposition } = file;
  // The signature of a URL covers the method, so that a client could not follow a redirect of HEAD.
  const direct =
    request.method === 'HEAD'
      ? null
      : node.files.prepareDownload(file.key, { mediaType, disposition }, REDIRECT_SECONDS);
  if (direct) response.writeHead(302, { location: await direct, 'cache-control': 'private, no-store' }).end();
  else {
    const mayRead = async () => (await node.findSession(viewer, false)) !== null && (await find()) !== null;
    const watch = (end: () => void) => downloads.watch(viewer.sessionId, `${id}/${variant}`, mayRead, end);
    await sendBytes(node.files, file, { mayRead, watch }, request, response);
  }
}

/** Returns the user of a request. Null without valid credentials of an active session. */
async function viewerOf(config: Config, node: ServerNode, incoming: IncomingMessage): Promise<AccessClaims | null> {
  const { authorization, jar, trusted } = credentialOf(config, { incoming, response: null });
  const { viewer } = await authenticate(node, authorization, false, clientOf(config, incoming));
  if (viewer) return viewer;
  const ticket = parameterOf(incoming, 'ticket') ?? (trusted ? jar.fileTicket : null);
  const claims = ticket === null ? null : await node.fileTokens.verifyTicket(ticket);
  return claims && (await node.findSession(claims, false)) ? claims : null;
}

/** Permission to read a file. */
interface Permission {
  /** Returns whether the user may still read the file. */
  mayRead: () => Promise<boolean>;
  /** Calls `end` if the user may no longer read the file. Returns a function that stops watching. */
  watch: (end: () => void) => () => void;
}

async function sendBytes(
  files: FileStore,
  file: ReadableFile,
  { mayRead, watch }: Permission,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { byteSize, etag } = file;
  response.setHeaders(
    new Map(
      Object.entries({
        'content-type': file.mediaType,
        'content-disposition': file.disposition,
        'accept-ranges': 'bytes',
        etag,
        // A browser may store the file, and must ask before it shows the file again.
        'cache-control': 'private, no-cache',
      }),
    ),
  );
  if (request.headers['if-none-match']?.includes(etag)) {
    response.writeHead(304).end();
    return;
  }
  const range = rangeOf(request, byteSize, etag);
  const { start, end } = range ?? { start: 0, end: byteSize - 1 };
  response.setHeader('content-length', end - start + 1);
  if (range) response.setHeader('content-range', `bytes ${start}-${end}/${byteSize}`);
  const bytes = request.method === 'HEAD' ? undefined : await files.read(file.key, range ?? undefined);
  if (bytes === null) {
    for (const name of response.getHeaderNames()) if (!(name in SECURITY_HEADERS)) response.removeHeader(name);
    // The file may have been deleted since it was found.
    if (!(await mayRead())) throw notFound();
    throw new Error('The file store lacks a file that the database has.');
  }
  response.writeHead(range ? 206 : 200);
  if (!bytes) {
    response.end();
    return;
  }
  const stopWatching = watch(() => response.destroy());
  // The client may close the connection at any time. Both streams are then closed.
  await pipeline(bytes, response).catch(() => undefined);
  stopWatching();
}

/**
 * Returns the part of a file that a request asks for. Null for the whole file, also if the request names several parts.
 *
 * @throws Refusal if the file has no such part
 */
function rangeOf({ method, headers }: IncomingMessage, byteSize: number, etag: string): ByteRange | null {
  const isOtherVersion = headers['if-range'] !== undefined && headers['if-range'] !== etag;
  // Only GET has ranges.
  if (method !== 'GET' || headers.range === undefined || isOtherVersion) return null;
  // The library refuses the end of a file if it is longer than the file.
  const [, suffix] = /^bytes=-(\d+)$/.exec(headers.range) ?? [];
  if (Number(suffix) >= byteSize) return { start: 0, end: byteSize - 1 };
  const ranges = parseRange(byteSize, headers.range);
  if (ranges === -1) throw new Refusal(416, 'The file has no such part.', { 'content-range': `bytes */${byteSize}` });
  const [range, ...more] = ranges === -2 || ranges.type !== 'bytes' ? [] : ranges;
  return range && more.length === 0 ? range : null;
}
