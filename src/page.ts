import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** An answer to a browser, as it goes out. */
export interface PageAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer | string;
}

/** What of a request decides the answer. */
export interface PageRequest {
  pathname: string;
  acceptEncoding: string | undefined;
  ifNoneMatch: string | undefined;
  /** Whether the page is to offer the demo's people, whose password is public. */
  demo: boolean;
}

/** The page to chat in, as `npm run build` made it. */
export interface Page {
  /** Null for what is no part of it. */
  answer(request: PageRequest): Promise<PageAnswer | null>;
}

interface PageFile {
  type: string;
  body: Buffer;
  gzipped: Buffer;
  etag: string;
  /** Its name changes with what is in it. */
  immutable: boolean;
}

/** The same seen from src/ and from dist/. */
const BUILT = fileURLToPath(new URL('../dist/web/', import.meta.url));

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const SAFETY = {
  // Nothing from elsewhere runs here or is asked, and no other site shows this one in a frame.
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  // The links of mails have tokens in them.
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** Key of the first page that offers the demo users. No request has this path, because the server decides who gets it. */
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

/** Serves the built page out of memory; it is read when it is first asked for. */
export function createPage(folder = BUILT): Page {
  let reading: Promise<Map<string, PageFile>> | undefined;
  return {
    async answer({ pathname, acceptEncoding, ifNoneMatch, demo }) {
      // A failed read, such as one without a free file descriptor, is tried again by the next request.
      reading ??= readFiles(folder).catch((error: unknown) => {
        reading = undefined;
        throw error;
      });
      const files = await reading;
      if (pathname === '/' && !files.has('/index.html'))
        return { status: 503, headers: { ...SAFETY, 'content-type': 'text/html; charset=utf-8' }, body: NOT_BUILT };
      const file = files.get(pathname === '/' ? (demo ? DEMO_INDEX : '/index.html') : pathname);
      if (!file) return null;
      const headers = {
        ...SAFETY,
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

/** The files by their paths, and the first page a second time, which says that the demo is there. */
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
