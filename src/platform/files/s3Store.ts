import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { AwsClient, AwsV4Signer } from 'aws4fetch';
import type { Config } from '../../core/config/settings.ts';
import { type ByteRange, checkByWriting, type FileStore, FileStoreError, type StoredObject } from './fileStore.ts';

type S3Settings = Pick<
  Config,
  | 'S3_ENDPOINT'
  | 'S3_PUBLIC_ENDPOINT'
  | 'S3_BUCKET'
  | 'S3_REGION'
  | 'S3_ACCESS_KEY_ID'
  | 'S3_SECRET_ACCESS_KEY'
  | 'S3_PATH_STYLE'
>;

/** Timeout of one request to the store until its response begins, in milliseconds. */
const TIMEOUT_MS = 8_000;
/** Timeout of a copy in milliseconds. The response of some stores begins after all bytes have been copied. */
const COPY_TIMEOUT_MS = 60_000;
/** Minimum speed at which the store takes an object, in bytes per millisecond. */
const MIN_SPEED = 1_000;

/** Creates a store in a bucket of an object store with the API of Amazon S3. */
export function createS3Store(settings: S3Settings): FileStore {
  const credentials = {
    accessKeyId: settings.S3_ACCESS_KEY_ID ?? '',
    secretAccessKey: settings.S3_SECRET_ACCESS_KEY ?? '',
    region: settings.S3_REGION,
    service: 's3',
  };
  // Callers retry: jobs after some seconds, and clients by repeating their request.
  const client = new AwsClient({ ...credentials, retries: 1 });
  const bucket = bucketUrl(settings.S3_ENDPOINT, settings);
  // Signatures cover the host, so URLs for clients have the one that clients use.
  const publicBucket = bucketUrl(settings.S3_PUBLIC_ENDPOINT ?? settings.S3_ENDPOINT, settings);
  const urlOf = (key: string) => `${bucket}/${key}`;

  /** Sends a request. Returns null for 404, if `mayLack` is set. */
  async function send(
    method: string,
    url: string,
    { headers, body, mayLack, timeoutMs = TIMEOUT_MS }: SendOptions = {},
  ): Promise<Response | null> {
    const response = await fetchHead(url, timeoutMs + (body?.length ?? 0) / MIN_SPEED, {
      method,
      ...(headers ? { headers } : {}),
      ...(body ? { body } : {}),
    });
    if (response.ok) return response;
    const text = await response.text();
    if (response.status === 404 && mayLack && !text.includes('NoSuchBucket')) return null;
    const [, code = ''] = /<Code>(\w+)<\/Code>/.exec(text) ?? [];
    throw new FileStoreError(`The object store refused ${method} with ${response.status} ${code}.`);
  }

  /** Sends a request, and waits for the head of the response. The body of a large object takes longer than any timeout. */
  async function fetchHead(url: string, timeoutMs: number, init: RequestInit): Promise<Response> {
    const controller = new AbortController();
    const timer = setTimeout(() => {
      controller.abort(new Error(`There was no response for ${Math.round(timeoutMs / 1_000)} s.`));
    }, timeoutMs);
    try {
      return await client.fetch(url, { ...init, signal: controller.signal });
    } catch (error) {
      throw new FileStoreError(`The object store does not respond (${reasonOf(error)}). Check S3_ENDPOINT.`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Returns a URL with which clients send a request. It contains a signature that covers all given headers. */
  async function presign(method: string, url: URL, headers: Record<string, string>, seconds: number): Promise<string> {
    url.searchParams.set('X-Amz-Expires', String(seconds));
    const signer = new AwsV4Signer({
      ...credentials,
      ...{ method, url: url.toString(), headers, signQuery: true, allHeaders: true },
    });
    // Signatures cover a space as %20.
    return (await signer.sign()).url.toString().replaceAll('+', '%20');
  }

  const store: FileStore = {
    origin: new URL(publicBucket).origin,
    async prepareUpload(key, { byteSize, mediaType, sha256 }, seconds) {
      const headers = { 'content-type': mediaType, 'x-amz-checksum-sha256': sha256.toString('base64') };
      // The client's HTTP library sets Content-Length. The signature covers it, so that no other length is accepted.
      const signed = { ...headers, 'content-length': String(byteSize) };
      return { url: await presign('PUT', new URL(`${publicBucket}/${key}`), signed, seconds), headers };
    },
    prepareDownload(key, { mediaType, disposition }, seconds) {
      const url = new URL(`${publicBucket}/${key}`);
      url.searchParams.set('response-content-type', mediaType);
      url.searchParams.set('response-content-disposition', disposition);
      return presign('GET', url, {}, seconds);
    },
    async write(key, source) {
      const body = typeof source === 'string' ? await readFile(source) : await buffer(source);
      const response = await send('PUT', urlOf(key), { body: new Uint8Array(body) });
      await response?.body?.cancel();
    },
    async copy(from, to) {
      const source = `/${settings.S3_BUCKET ?? ''}/${from}`;
      const response = await send('PUT', urlOf(to), {
        headers: { 'x-amz-copy-source': source },
        mayLack: true,
        timeoutMs: COPY_TIMEOUT_MS,
      });
      // A copy can fail after the status was sent.
      if (response && !(await response.text()).includes('<ETag>'))
        throw new FileStoreError('The object store did not copy an object.');
      return response !== null;
    },
    read: (key, range) => read(key, range),
    async withFile(key, use) {
      const folder = await mkdtemp(join(tmpdir(), 'parley-'));
      try {
        const path = join(folder, 'object');
        const stream = await read(key);
        if (!stream) throw new Error('An object is missing in the object store.');
        await pipeline(stream, createWriteStream(path, { mode: 0o600 }));
        return await use(path);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    async delete(key) {
      const response = await send('DELETE', urlOf(key), { mayLack: true });
      await response?.body?.cancel();
    },
    list: (folder) => list(folder),
    async check() {
      try {
        await checkByWriting(store, Readable.from(['check']));
      } catch (error) {
        throw new Error(
          `The object store of S3_ENDPOINT cannot be used (${reasonOf(error)}). Check the S3 settings, and that the key may read, write, list and delete objects of S3_BUCKET.`,
          { cause: error },
        );
      }
    },
  };

  async function read(key: string, range?: ByteRange): Promise<Readable | null> {
    const headers = range ? { headers: { range: `bytes=${range.start}-${range.end}` } } : {};
    const response = await send('GET', urlOf(key), { ...headers, mayLack: true });
    return response && Readable.fromWeb((response.body ?? new Blob().stream()) as ReadableStream);
  }

  async function* list(folder?: string): AsyncGenerator<StoredObject> {
    let token: string | undefined;
    do {
      const url = new URL(bucket);
      url.searchParams.set('list-type', '2');
      if (folder !== undefined) url.searchParams.set('prefix', `${folder}/`);
      if (token !== undefined) url.searchParams.set('continuation-token', token);
      const text = (await (await send('GET', url.toString()))?.text()) ?? '';
      yield* readListing(text);
      token = /<NextContinuationToken>([^<]*)</.exec(text)?.[1];
    } while (token !== undefined);
  }

  return store;
}

interface SendOptions {
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer>;
  mayLack?: boolean;
  timeoutMs?: number;
}

/** Returns the URL of the bucket at an endpoint, without a trailing slash. */
function bucketUrl(endpoint = '', { S3_BUCKET = '', S3_PATH_STYLE }: S3Settings): string {
  const url = new URL(endpoint);
  if (S3_PATH_STYLE === 'on') url.pathname = `${url.pathname.replace(/\/$/, '')}/${S3_BUCKET}`;
  else url.host = `${S3_BUCKET}.${url.host}`;
  return url.toString().replace(/\/$/, '');
}

/** Reads the objects of a listing. Keys of Parley contain no character that XML escapes. */
function* readListing(xml: string): Generator<StoredObject> {
  for (const [, entry = ''] of xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
    const read = (name: string) => new RegExp(`<${name}>([^<]*)<`).exec(entry)?.[1] ?? '';
    yield { key: read('Key'), byteSize: Number(read('Size')), modifiedAt: new Date(read('LastModified')) };
  }
}

/** Returns the reason of a failure. `fetch` hides it in `cause`, in a list if the host has several addresses. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const inner: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  return inner instanceof Error ? reasonOf(inner) : message;
}
