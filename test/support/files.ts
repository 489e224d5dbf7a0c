import { createHash } from 'node:crypto';
import { readdir, readlink } from 'node:fs/promises';
import { bearer, type Person } from './client.ts';

export const CREATE_UPLOAD = `mutation ($input: CreateUploadInput!) {
  createUpload(input: $input) { upload { id state method url expiresAt headers { name value } } }
}`;
export const COMPLETE_UPLOAD = `mutation ($id: ID!) {
  completeUpload(input: { uploadId: $id }) {
    attachment { id fileName mediaType byteSize sha256 state rejection url durationMs image { url width height thumbHash } }
  }
}`;
export const SEND_FILES = `mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { deduplicated message { id number body attachments { id fileName state url } } }
}`;

/** A file of a test. */
export interface TestFile {
  fileName: string;
  mediaType: string;
  bytes: Buffer;
  purpose?: 'MESSAGE' | 'AVATAR';
}

export const textFile = (text = 'a note', fileName = 'note.txt'): TestFile => ({
  fileName,
  mediaType: 'text/plain',
  bytes: Buffer.from(text),
});

/** A picture of one pixel. */
export const PNG: TestFile = {
  fileName: 'dot.png',
  mediaType: 'image/png',
  bytes: Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  ),
};

export const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Returns the input of `createUpload` for a file. */
export function inputOf({ fileName, mediaType, bytes, purpose = 'MESSAGE' }: TestFile) {
  return { fileName, mediaType, purpose, byteSize: bytes.length, sha256: sha256(bytes) };
}

export async function createUpload(person: Person, file: TestFile): Promise<any> {
  return (await person.ask(CREATE_UPLOAD, { input: inputOf(file) })).createUpload.upload;
}

/** Sends bytes to the URL of an upload, as a client does. */
export function put(person: Pick<Person, 'url'>, upload: any, bytes: Buffer): Promise<Response> {
  return fetch(new URL(upload.url, person.url), {
    method: upload.method,
    headers: upload.headers.map(({ name, value }: { name: string; value: string }) => [name, value]),
    body: new Uint8Array(bytes),
  });
}

export async function complete(person: Person, upload: { id: string }): Promise<any> {
  return (await person.ask(COMPLETE_UPLOAD, { id: upload.id })).completeUpload.attachment;
}

/** Uploads a file and returns the attachment. */
export async function attach(person: Person, file: TestFile = textFile()): Promise<any> {
  const upload = await createUpload(person, file);
  const response = await put(person, upload, file.bytes);
  if (!response.ok) throw new Error(`The upload was refused with ${response.status}.`);
  return complete(person, upload);
}

/** Uploads a file and sends it. Returns the message. */
export async function sendFile(
  person: Person,
  room: string,
  file: TestFile = textFile(),
  more: object = {},
): Promise<any> {
  const { id } = await attach(person, file);
  const input = { chatroomId: room, body: '', attachmentIds: [id], ...more };
  return (await person.ask(SEND_FILES, { input })).sendMessage.message;
}

/** Requests a file on behalf of a person. */
export function get(person: Person, path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${person.url}${path}`, { headers: { ...bearer(person), ...headers }, redirect: 'manual' });
}

/** Returns the number of stored files that the process has open. */
export async function countOpenFiles(): Promise<number> {
  const descriptors = await readdir('/proc/self/fd');
  const paths = await Promise.all(descriptors.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  return paths.filter((path) => path.includes('/files/')).length;
}
