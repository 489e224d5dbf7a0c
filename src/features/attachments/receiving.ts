import { Readable } from 'node:stream';
import type { ServerNode } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import { uploadKey } from './attachments.ts';

/** Outcome of a request that sends the bytes of an upload to this node. */
export type ReceiveOutcome = 'STORED' | 'NOT_FOUND' | 'TOO_LONG' | 'TOO_SHORT';

/**
 * Stores the bytes of an upload. Repeated bytes replace the former ones until the upload is complete, and are then
 * ignored. The caller has checked the permission.
 *
 * @param announced number of bytes according to the request. Null if the request does not say.
 */
export async function receiveUpload(
  { database, files }: Pick<ServerNode, 'database' | 'files'>,
  uploadId: string,
  bytes: AsyncIterable<Buffer>,
  announced: number | null,
): Promise<ReceiveOutcome> {
  const find = async () => {
    const [found] = await database.query<Pick<Attachment, 'state' | 'byteSize'>>(sql`
      SELECT state, byte_size AS "byteSize" FROM attachments WHERE id = ${uploadId}::uuid`);
    return found;
  };
  const upload = await find();
  if (!upload || !files) return 'NOT_FOUND';
  if (upload.state !== 'UPLOADING') return 'STORED';
  // Refused before the bytes are read, so that the client receives the response.
  if (announced !== null && announced !== upload.byteSize) return compareLength(announced, upload.byteSize);
  try {
    await files.write(uploadKey(uploadId), Readable.from(exactly(upload.byteSize, bytes), { objectMode: false }));
  } catch (error) {
    if (error instanceof WrongLength) return compareLength(error.length, upload.byteSize);
    throw error;
  }
  const now = await find();
  // Another request has completed the upload, or its user has been deleted. Nothing else would delete the bytes soon.
  if (now?.state !== 'UPLOADING') await files.delete(uploadKey(uploadId));
  return now ? 'STORED' : 'NOT_FOUND';
}

function compareLength(length: number, expected: number): ReceiveOutcome {
  return length > expected ? 'TOO_LONG' : 'TOO_SHORT';
}

/** Thrown for a request with more or fewer bytes than were announced by `createUpload`. */
class WrongLength extends Error {
  readonly length: number;
  constructor(length: number) {
    super();
    this.length = length;
  }
}

/** Passes bytes on, and fails unless there are exactly `expected`. Nothing is then stored. */
async function* exactly(expected: number, bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length > expected) throw new WrongLength(length);
    yield chunk;
  }
  if (length < expected) throw new WrongLength(length);
}
