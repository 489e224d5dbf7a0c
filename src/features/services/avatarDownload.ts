import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerNode } from '../../core/context.ts';
import { createUuid } from '../../core/globalIds.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { isDecoded } from '../../platform/images/header.ts';
import { type Jobs, queueJob } from '../../platform/jobQueue.ts';
import { fetchImage } from '../../platform/web/images.ts';
import type { WebClient } from '../../platform/web/webClient.ts';
import { objectKey } from '../attachments/attachments.ts';
import { queueProcessing } from '../attachments/completing.ts';

/**
 * Queues the downloads of avatars, for those users whose last downloaded avatar had another URL. A repeated `upsertUsers`
 * therefore downloads nothing.
 *
 * @param urls URLs of the avatars by external id
 */
export async function queueAvatars(query: Database['query'], urls: ReadonlyMap<string, string>): Promise<void> {
  if (urls.size === 0) return;
  const changed = await query<{ userId: string; url: string }>(sql`
    SELECT u.id AS "userId", g.url
      FROM unnest(${[...urls.keys()]}::text[], ${[...urls.values()]}::text[]) g (external_id, url)
      JOIN users u ON u.external_id = g.external_id
      WHERE u.external_avatar_url IS DISTINCT FROM g.url`);
  for (const { userId, url } of changed)
    await queueJob(query, 'fetch_avatar', { userId, url }, { key: `fetch_avatar ${userId}` });
}

/**
 * Job that downloads the avatar of a user, and hands it to the processing of uploads. If the download fails, the user
 * keeps the former avatar, and the next `upsertUsers` tries again.
 */
export async function fetchAvatar(
  { database, files, images, web }: Pick<ServerNode, 'database' | 'files' | 'images'> & { web: WebClient },
  { userId, url }: Jobs['fetch_avatar'],
): Promise<void> {
  if (!files) return;
  const bytes = await fetchImage(web, url);
  if (!bytes) return;
  const folder = await mkdtemp(join(tmpdir(), 'parley-'));
  try {
    const path = join(folder, 'avatar');
    await writeFile(path, bytes);
    const { mediaType } = await images.inspect(path, '');
    if (!isDecoded(mediaType)) return;
    const [id, object] = [createUuid(), createUuid()];
    const key = objectKey(id, object);
    await files.write(key, path);
    const sha256 = createHash('sha256').update(bytes).digest();
    const isStored = await database.transaction(async (query) => {
      const [user] = await query(sql`
        UPDATE users SET external_avatar_url = ${url}
          WHERE id = ${userId}::uuid AND external_id IS NOT NULL RETURNING id`);
      if (!user) return false;
      await query(sql`
        INSERT INTO attachments (id, user_id, purpose, state, file_name, media_type, byte_size, sha256, object)
          VALUES (${id}::uuid, ${userId}::uuid, 'AVATAR', 'PROCESSING', 'avatar', ${mediaType}, ${bytes.length}, ${sha256}, ${object})`);
      await queueProcessing(query, id);
      await query(sql`SELECT set_user_avatar(${userId}::uuid, ${id}::uuid)`);
      return true;
    });
    if (!isStored) await files.delete(key);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
