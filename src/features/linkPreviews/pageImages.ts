import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { ServerNode } from '../../core/context.ts';
import { createUuid } from '../../core/globalIds.ts';
import { sql } from '../../platform/database/database.ts';
import type { FileStore } from '../../platform/files/fileStore.ts';
import { fetchImage } from '../../platform/web/images.ts';
import type { WebClient } from '../../platform/web/webClient.ts';
import { objectKey, type StoredVariant } from '../attachments/attachments.ts';
import { type ReadableFile, toReadableWebp } from '../attachments/reading.ts';
import { isReadable } from '../messages/messages.ts';

/** Maximum size of an image of a page, in pixels. The size that Open Graph recommends. */
const BOX = { width: 1_200, height: 630 };

/** The column `image` of a page. */
export interface PageImage extends StoredVariant {
  /** ThumbHash in base64. */
  thumbHash: string;
}

/**
 * Requests the image of a page, encodes it again, and writes it to the file store. Nobody receives the bytes of the page's
 * server, because they could attack browsers, and contain places and names.
 *
 * @param pageId id of a page that is not stored yet. If it is never stored, `cleanFiles` deletes the object.
 * @returns null if there is no file store, after `timeoutMs`, or if anything fails: the page has a preview without an image
 */
export async function storePageImage(
  { files, images }: Pick<ServerNode, 'files' | 'images'>,
  client: WebClient,
  pageId: string,
  url: string,
  timeoutMs: number,
): Promise<PageImage | null> {
  if (!files) return null;
  async function store(into: FileStore): Promise<PageImage | null> {
    const bytes = await fetchImage(client, url);
    if (!bytes) return null;
    const folder = await mkdtemp(join(tmpdir(), 'parley-'));
    try {
      const path = join(folder, 'image');
      await writeFile(path, bytes);
      const shrunk = await images.shrinkImage({ path, folder, ...BOX });
      if (shrunk.outcome === 'UNREADABLE') return null;
      const { byteSize, sha256, width, height } = shrunk.file;
      const object = createUuid();
      await into.write(objectKey(pageId, object), shrunk.file.path);
      return { object, byteSize, sha256, width, height, thumbHash: shrunk.thumbHash };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const timeout = setTimeout(Math.max(0, timeoutMs), null, { ref: false });
  return Promise.race([store(files), timeout]).catch(() => null);
}

/** Returns the image of a preview, if the viewer may see the preview: it is their own, or of a message they may read. */
export async function findPreviewImage(
  { database }: Pick<ServerNode, 'database'>,
  viewerId: string,
  previewId: string,
): Promise<ReadableFile | null> {
  const viewer = sql`${viewerId}::uuid`;
  const [found] = await database.prepared<{ pageId: string; image: PageImage }>(sql`
    SELECT p.id AS "pageId", p.image FROM link_previews l JOIN web_pages p ON p.id = l.page_id
        LEFT JOIN messages m ON m.chatroom_id = l.chatroom_id AND m.number = l.number
      WHERE l.id = ${previewId}::uuid AND p.image IS NOT NULL AND (l.user_id = ${viewer} OR ${isReadable(viewer)})`);
  return found ? toReadableWebp(found.pageId, found.image) : null;
}
