import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { bearer } from '../world.ts';
import { type Asker, openParley } from './graphql.ts';

const CREATE = `mutation ($input: CreateUploadInput!) { createUpload(input: $input) { upload { id url headers { name value } } } }`;
const COMPLETE = `mutation ($id: ID!) { completeUpload(input: { uploadId: $id }) { attachment { id } } }`;
const STATES = `query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Attachment { state } } }`;
/** Maximum number of ids in `Query.nodes`. */
const IDS_AT_ONCE = 50;
/** Time between two looks at the states, in milliseconds. */
const INTERVAL_MS = 200;
const TIMEOUT_MS = 120_000;

/** Uploads a photo of 640 × 480 pixels again and again. Returns the attachments' ids when the server has made their variants. */
export async function uploadImages(url: string, user: number, count: number): Promise<string[]> {
  const asker = await openParley(url, user);
  const bytes = await photo();
  const ids: string[] = [];
  for (let i = 0; i < count; i += 1) ids.push(await upload(asker, url, user, bytes));
  for (let at = 0; at < count; at += IDS_AT_ONCE) await untilReady(asker, ids.slice(at, at + IDS_AT_ONCE));
  asker.close();
  return ids;
}

async function upload(asker: Asker, url: string, user: number, bytes: Buffer): Promise<string> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const input = { fileName: 'photo.jpg', mediaType: 'image/jpeg', purpose: 'MESSAGE', byteSize: bytes.length, sha256 };
  const created = JSON.parse(await asker.ask(CREATE, { input })) as Created;
  const { id, url: target, headers } = created.data.createUpload.upload;
  const response = await fetch(new URL(target, url), {
    method: 'PUT',
    headers: {
      authorization: await bearer(user),
      ...Object.fromEntries(headers.map(({ name, value }) => [name, value])),
    },
    body: new Uint8Array(bytes),
  });
  if (!response.ok) throw new Error(`The upload was refused with ${response.status}: ${await response.text()}`);
  const completed = JSON.parse(await asker.ask(COMPLETE, { id })) as Completed;
  return completed.data.completeUpload.attachment.id;
}

async function untilReady(asker: Asker, ids: readonly string[]): Promise<void> {
  const giveUp = performance.now() + TIMEOUT_MS;
  while (performance.now() < giveUp) {
    const { data } = JSON.parse(await asker.ask(STATES, { ids })) as { data: { nodes: { state: string }[] } };
    if (data.nodes.every(({ state }) => state === 'READY')) return;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
  throw new Error('The images were not ready within two minutes.');
}

/** Returns a JPEG of a gradient with noise, so that it is about as large as a photo of its size. */
function photo(): Promise<Buffer> {
  const [width, height] = [640, 480];
  const pixels = Buffer.alloc(width * height * 3);
  for (let i = 0, state = 1; i < pixels.length; i += 1) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    pixels[i] = ((i / 3) % width) / 3 + (state % 32);
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg()
    .toBuffer();
}

interface Created {
  data: { createUpload: { upload: { id: string; url: string; headers: { name: string; value: string }[] } } };
}
interface Completed {
  data: { completeUpload: { attachment: { id: string } } };
}
