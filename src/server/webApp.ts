import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** A response to a browser. */
export interface PageResponse {
  status: number;
  headers: Record<string, string>;
  body: Buffer | string;
}

/** The parts of a request that determine the response. */
export interface PageRequest {
  pathname: string;
  acceptEncoding: string | undefined;
  ifNoneMatch: string | undefined;
  /** Whether the page offers to sign in as one of the demo users, whose password is public. */
  demo: boolean;
}

/** The chat page and the page for admins, which `npm run build` has built. */
export interface WebApp {
  /** Returns the response for a path. Null if the page has no such file. */
  respond(request: PageRequest): Promise<PageResponse | null>;
}

interface PageFile {
  type: string;
  body: Buffer;
  gzipped: Buffer;
  etag: string;
  /** Whether the file name contains a hash of the content, so that browsers may cache the file for ever. */
  immutable: boolean;
}

/** Folder of the built page. The relative path leads to the same folder from src/ and from dist/. */
const BUILT = fileURLToPath(new URL('../../dist/web/', import.meta.url));

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Returns the headers of all responses. They forbid resources of other origins, requests to other origins, and framing by
 * other sites.
 *
 * @param fileOrigin origin of the object store to which files are uploaded, and from which they are loaded
 */
const securityHeaders = (fileOrigin: string | null) => ({
  'content-security-policy': [
    "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ...['img-src', 'media-src', 'connect-src'].map((name) =>
      [name, "'self'", ...(fileOrigin === null ? [] : [fileOrigin])].join(' '),
    ),
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  // Links in e-mails contain tokens, which a Referer header would reveal.
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
});

/** Files of the pages, by path. */
const PAGES: Record<string, string> = { '/': '/index.html', '/admin': '/admin.html' };

/** Key of the index page that offers the demo users. Contains a space, so that no request path can name it. */
const DEMO_INDEX = '/ demo';

const NOT_BUILT = `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8" /><title>Parley</title></head>
  <body>
    <h1>The page has not been built</h1>
    <p>Run <code>npm run build</code> and start the server again. The API is at <a href="/graphql">/graphql</a>.</p>
  </body>
</html>
`;

/** Creates a web app that serves the built page from memory. The files are read at the first request. */
export function createWebApp(folder = BUILT, fileOrigin: string | null = null): WebApp {
  const headersOfAll = securityHeaders(fileOrigin);
  let reading: Promise<Map<string, PageFile>> | undefined;
  return {
    async respond({ pathname, acceptEncoding, ifNoneMatch, demo }) {
      // If the read fails, for example for lack of file descriptors, the next request retries.
      reading ??= readFiles(folder).catch((error: unknown) => {
        reading = undefined;
        throw error;
      });
      const files = await reading;
      if (pathname === '/' && !files.has('/index.html'))
        return {
          status: 503,
          headers: { ...headersOfAll, 'content-type': 'text/html; charset=utf-8' },
          body: NOT_BUILT,
        };
      const page = demo && pathname === '/' ? DEMO_INDEX : PAGES[pathname];
      const file = files.get(page ?? pathname);
      if (!file) return null;
      const headers = {
        ...headersOfAll,
        'content-type': file.type,
        etag: file.etag,
        vary: 'accept-encoding',
        'cache-control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      };
      if (ifNoneMatch === file.etag) return { status: 304, headers, body: '' };
      return acceptEncoding?.includes('gzip')
        ? { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body: file.gzipped }
        : { status: 200, headers, body: file.body };
    },
  };
}

/** Reads the files by path. Adds a second index page, marked with `data-demo`, that offers the demo users. */
async function readFiles(folder: string): Promise<Map<string, PageFile>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, PageFile>();
  for (const entry of names) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const name = `/${relative(folder, path).replaceAll(sep, '/')}`;
    files.set(name, await prepare(type, await readFile(path), name.startsWith('/assets/')));
  }
  const index = files.get('/index.html');
  if (index) {
    const html = index.body.toString().replace('<html lang="en">', '<html lang="en" data-demo>');
    files.set(DEMO_INDEX, await prepare(index.type, Buffer.from(html), false));
  }
  return files;
}

async function prepare(type: string, body: Buffer, immutable: boolean): Promise<PageFile> {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return { type, body, gzipped: await promisify(gzip)(body), etag, immutable };
}
