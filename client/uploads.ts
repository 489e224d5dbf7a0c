import { failed, isChatError } from './errors.ts';
import type { Request } from './http.ts';
import { type BytesRequest, RefusedBytes, sendBytes } from './sendBytes.ts';
import { sha256Of } from './sha256.ts';
import { backoff, onAbort, wait, withAbortSignal } from './wait.ts';

export interface UploadOptions {
  /** Name of the file, 1 to 255 characters. By default, the name of a `File`. Required for any other `Blob`. */
  fileName?: string;
  /** `MESSAGE`, the default, for `sendMessage`; `AVATAR` for `setAvatar` and `setChatroomAvatar`. */
  purpose?: 'MESSAGE' | 'AVATAR';
  /**
   * Called at the beginning, and each time more bytes were sent than ever before. A retry sends all bytes again, so the
   * progress can stand still, but never goes back. When all bytes were sent, the server checks and processes the file: the
   * promise resolves later, in most cases within a second and at most some 10 s after the check.
   */
  onProgress?: (progress: UploadProgress) => void;
  /** Cancels the upload in any step when the signal fires. The server then deletes the upload. */
  signal?: AbortSignal;
}

/** Progress of an upload, in bytes. */
export interface UploadProgress {
  sentBytes: number;
  totalBytes: number;
}

/** An uploaded file: an attachment that is not sent yet. The server deletes it after 24 hours. */
export interface UploadedFile {
  /** Pass it on as `attachmentIds` of a message or as `attachmentId` of an avatar. */
  id: string;
  fileName: string;
  /** The server's finding. The bytes decide, not the type of the `Blob`. */
  mediaType: string;
  byteSize: number;
  sha256: string;
  /**
   * `PROCESSING` if the server still scans the file or resizes the image some 10 s after the upload. The file can be sent
   * already, and `AttachmentsChanged` is the event at the end. A `REJECTED` file cannot be sent.
   */
  state: 'PROCESSING' | 'READY' | 'REJECTED';
  /** Null unless the state is `REJECTED`. */
  rejection: 'INFECTED' | 'NOT_WHAT_IT_SAYS' | 'TOO_LARGE' | 'UNREADABLE' | null;
  /** Path for `fileUrl`. Null unless the state is `READY`. */
  url: string | null;
  /** Preview of an image, at most 1,280 pixels wide and high. Null for other files, and until the state is `READY`. */
  image: { url: string; width: number; height: number; thumbHash: string } | null;
  /** Duration of a sound or video in milliseconds. Null if unknown. */
  durationMs: number | null;
}

/** Uploads a file. */
export type Upload = (file: Blob, options?: UploadOptions) => Promise<UploadedFile>;

interface UploaderOptions {
  /** URL of the API. URLs of uploads are relative to it, unless the bytes go to an object store. */
  url: string;
  request: Request;
  fetch: typeof fetch;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

/** Maximum number of attempts in a row that send no more bytes than an earlier one. */
const MAX_ATTEMPTS = 6;
/** Maximum number of attempts if other bytes than announced arrive. The file has probably changed since it was hashed. */
const MAX_CONFLICTS = 2;

/** Maximum time for which an upload waits for the end of the processing, in milliseconds. A scan can take longer. */
const MAX_PROCESSING_MS = 10_000;
/**
 * Statuses of a server that does not know `/files/uploads`. Parley itself responds with 404 only if the upload was deleted.
 */
const MISROUTED: ReadonlySet<number> = new Set([404, 405, 501]);

const CREATE_UPLOAD = `mutation CreateUpload($input: CreateUploadInput!) {
  createUpload(input: $input) { upload { id method url headers { name value } } }
}`;
const UPLOADED_FILE = `fragment UploadedFile on Attachment {
  id fileName mediaType byteSize sha256 state rejection url image { url width height thumbHash } durationMs
}`;
const COMPLETE_UPLOAD = `mutation CompleteUpload($input: CompleteUploadInput!) {
  completeUpload(input: $input) { attachment { ...UploadedFile } }
}
${UPLOADED_FILE}`;
const PROCESSED_FILE = `query ProcessedFile($id: ID!) { node(id: $id) { ...UploadedFile } }
${UPLOADED_FILE}`;
/** Deletes an upload, or an attachment that was not sent. */
export const DELETE_UPLOAD = `mutation DeleteUpload($input: DeleteUploadInput!) { deleteUpload(input: $input) { deletedUploadId } }`;

/** Creates the function that uploads files. */
export function createUploader({ url: apiUrl, request, fetch, closed }: UploaderOptions): Upload {
  /** The running uploads, by their announcement. Each includes the deletion of an upload that failed. */
  const running = new Map<string, Promise<unknown>>();

  /** Runs a mutation that may be repeated, until there is a response. */
  async function mutate<Data>(document: string, input: object, signal: AbortSignal | undefined): Promise<Data> {
    const { data, errors } = await request(document, { input }, { retry: true, ...(signal && { signal }) });
    if (errors?.length || data == null) throw failed(errors ?? []);
    return data as Data;
  }

  /** @param onStored called with the id of the upload on the server, and then with the id of the attachment */
  async function transfer(
    file: Blob,
    announced: object,
    { onProgress, signal }: UploadOptions,
    onStored: (id: string) => void,
  ): Promise<UploadedFile> {
    const signals = signal ? [signal, closed] : [closed];
    let most = 0;
    /** Id of the upload that does not exist, according to the last response. */
    let missing: string | null = null;
    onProgress?.({ sentBytes: 0, totalBytes: file.size });
    for (let failures = 0; ;) {
      // Returns the same upload with a new URL, or another upload if the first one was deleted.
      const { createUpload } = await mutate<Created>(CREATE_UPLOAD, announced, signal);
      const { id, ...target } = createUpload.upload;
      onStored(id);
      // The upload exists, so that Parley has not sent the 404.
      if (id === missing) throw misrouted(404);
      const before = most;
      const onSent = (bytes: number) => {
        if (bytes <= most) return;
        most = bytes;
        onProgress?.({ sentBytes: bytes, totalBytes: file.size });
      };
      try {
        await sendBytes({ ...target, url: new URL(target.url, apiUrl).href }, file, { fetch, onSent, signals });
        const { completeUpload } = await mutate<Completed>(COMPLETE_UPLOAD, { uploadId: id }, signal);
        onStored(completeUpload.attachment.id);
        return await follow(completeUpload.attachment, signals);
      } catch (error) {
        if (error instanceof RefusedBytes && target.url.startsWith('/') && MISROUTED.has(error.status)) {
          if (error.status !== 404) throw misrouted(error.status);
          missing = id;
        }
        failures = most > before ? 1 : failures + 1;
        if (failures >= maxAttempts(error)) throw error;
      }
      await wait(backoff(failures - 1), ...signals);
    }
  }

  /** Waits for the end of the processing, for at most `MAX_PROCESSING_MS`. Returns the last known state of the attachment. */
  async function follow(attachment: UploadedFile, signals: readonly AbortSignal[]): Promise<UploadedFile> {
    let latest = attachment;
    const poll = async (over: AbortSignal) => {
      for (let i = 0; latest.state === 'PROCESSING' && !over.aborted; i += 1) {
        await wait(backoff(i), over);
        const { data } = await request(PROCESSED_FILE, { id: latest.id }, { retry: true, signal: over });
        const node = (data as { node: UploadedFile | null } | null | undefined)?.node;
        // Bots without the scope messages:read may not query the file.
        if (!node) break;
        latest = node;
      }
    };
    // The upload is complete, whether or not its state can be queried.
    await withAbortSignal(MAX_PROCESSING_MS, signals, poll).catch(() => undefined);
    for (const signal of signals) signal.throwIfAborted();
    return latest;
  }

  /**
   * Deletes what the server has stored of an upload that was cancelled or has failed. If this fails, the server deletes the
   * upload after 24 hours.
   *
   * @param uploadId null if the response of `createUpload` is not known
   */
  async function discard(uploadId: string | null, announced: object): Promise<void> {
    if (closed.aborted) return;
    try {
      let id = uploadId;
      if (id === null) {
        // Returns the upload that a cancelled request has created.
        const { data } = await request(CREATE_UPLOAD, { input: announced });
        id = (data as Partial<Created> | null | undefined)?.createUpload?.upload.id ?? null;
      }
      if (id !== null) await request(DELETE_UPLOAD, { input: { uploadId: id } });
    } catch {
      // The caller has the error of the upload already.
    }
  }

  return async function upload(file, options = {}) {
    const { fileName = (file as Partial<File>).name, purpose = 'MESSAGE', signal } = options;
    if (fileName === undefined) throw new TypeError('Pass the name of the file: upload(blob, { fileName }).');
    const signals = signal ? [signal, closed] : [closed];
    for (const each of signals) each.throwIfAborted();
    const sha256 = await sha256Of(file, signals);
    const announced = { fileName, byteSize: file.size, sha256, mediaType: file.type, purpose };
    const key = JSON.stringify(announced);
    // The server returns the same open upload for the same announcement. Two files that are equal need two attachments.
    for (let other; (other = running.get(key));) await settled(other, signals);
    let uploadId: string | null = null;
    const transferred = transfer(file, announced, options, (id) => (uploadId = id));
    const finished = transferred
      .catch(() => (uploadId !== null || signal?.aborted ? discard(uploadId, announced) : undefined))
      .finally(() => running.delete(key));
    running.set(key, finished);
    return transferred;
  };
}

interface Created {
  createUpload: { upload: BytesRequest & { id: string } };
}

interface Completed {
  completeUpload: { attachment: UploadedFile };
}

/** Creates the error for bytes that did not reach Parley. */
function misrouted(status: number): RefusedBytes {
  return new RefusedBytes(
    status,
    'The proxy in front of the server probably does not forward /files. Forward it like /graphql.',
  );
}

/** Returns how many attempts in a row may end with this error. */
function maxAttempts(error: unknown): number {
  if (isChatError(error, 'CONFLICT')) return MAX_CONFLICTS;
  // `NOT_FOUND` means that the upload was deleted, because it was open for too long.
  return isChatError(error, 'UNREACHABLE') || isChatError(error, 'NOT_FOUND') ? MAX_ATTEMPTS : 0;
}

/** Resolves when the promise has settled. Rejects when one of the signals fires. */
async function settled(other: Promise<unknown>, signals: readonly AbortSignal[]): Promise<void> {
  const ends: (() => void)[] = [];
  const aborted = new Promise<void>((resolve) => {
    for (const signal of signals) ends.push(onAbort(signal, resolve));
  });
  await Promise.race([other.catch(() => undefined), aborted]);
  for (const end of ends) end();
  for (const signal of signals) signal.throwIfAborted();
}
