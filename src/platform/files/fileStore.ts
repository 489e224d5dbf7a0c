import type { Readable } from 'node:stream';
import { createUuid } from '../../core/globalIds.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    /** Null if FILES is off. */
    files: FileStore | null;
  }
}

/** Thrown if an object store cannot be reached, or refuses a request that it should accept. */
export class FileStoreError extends Error {
  override readonly name = 'FileStoreError';
}

/** An object of the store. */
export interface StoredObject {
  key: string;
  byteSize: number;
  modifiedAt: Date;
}

/** Part of an object, in bytes. Both ends are included. */
export interface ByteRange {
  start: number;
  end: number;
}

/** The bytes that a client has announced to upload. */
export interface AnnouncedBytes {
  byteSize: number;
  mediaType: string;
  sha256: Buffer;
}

/** An HTTP request that a client may send. */
export interface PreparedRequest {
  url: string;
  headers: Record<string, string>;
}

/**
 * Store of the bytes of uploaded files. Keys consist of two parts, such as `uploads/ID` and `ID/NAME`. An object with a
 * key of the second form is never overwritten.
 */
export interface FileStore {
  /** Origin of the URLs of `prepareUpload` and `prepareDownload`. Null if clients use this server only. */
  origin: string | null;
  /**
   * Returns the request with which a client uploads an object to the store, valid for `seconds`. Null if the store takes
   * no requests of clients, so that the node must receive the bytes.
   */
  prepareUpload(key: string, bytes: AnnouncedBytes, seconds: number): Promise<PreparedRequest> | null;
  /**
   * Returns a URL at which a client reads an object, valid for `seconds`. Null if the node must send the bytes.
   *
   * @param headers media type and Content-Disposition of the response
   */
  prepareDownload(
    key: string,
    headers: { mediaType: string; disposition: string },
    seconds: number,
  ): Promise<string> | null;
  /** Writes an object from a file, or from a stream. An object that was written in part does not exist. */
  write(key: string, source: string | Readable): Promise<void>;
  /** Copies an object. Later writes to `from` do not change the copy. Returns false if there is no object `from`. */
  copy(from: string, to: string): Promise<boolean>;
  /** Returns the bytes of an object, or null if there is no such object. */
  read(key: string, range?: ByteRange): Promise<Readable | null>;
  /** Calls `use` with the path of a file that has the bytes of an object. The file must not be changed. */
  withFile<Result>(key: string, use: (path: string) => Promise<Result>): Promise<Result>;
  /** Deletes an object. Does nothing if there is no such object. */
  delete(key: string): Promise<void>;
  /** Returns the objects whose keys begin with `folder` and a slash; all objects by default. */
  list(folder?: string): AsyncIterable<StoredObject>;
  /**
   * Checks that objects can be written and read.
   *
   * @throws Error with a message for the operator
   */
  check(): Promise<void>;
}

/** Writes, lists, reads and deletes an object. Throws if any of it fails. */
export async function checkByWriting(
  store: Pick<FileStore, 'write' | 'list' | 'read' | 'delete'>,
  text: Readable,
): Promise<void> {
  // Several nodes may run the check at a time.
  const folder = createUuid();
  const key = `${folder}/check`;
  await store.write(key, text);
  const found = await store.read(key);
  found?.destroy();
  const listed: string[] = [];
  for await (const object of store.list(folder)) listed.push(object.key);
  await store.delete(key);
  if (!found) throw new Error('An object that was written cannot be read.');
  if (!listed.includes(key)) throw new Error('An object that was written is not listed.');
}
