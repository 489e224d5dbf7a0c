import { type Database, sql } from '../../platform/database/database.ts';
import type { FileStore } from '../../platform/files/fileStore.ts';
import { importFiles } from '../export/exportFiles.ts';
import type { ExportedAttachment } from '../export/exportFormat.ts';
import { countReason } from './conversation.ts';

/** A user or room that is imported with its avatar. */
interface AvatarOwner {
  table: 'users' | 'chatrooms';
  id: string;
  /** Absent in exports of release 0.1.0. */
  avatar: ExportedAttachment | null | undefined;
}

/** Stores the avatar of an imported user or room. Skips an avatar without its bytes, and one whose uploader does not exist. */
export async function storeAvatar(
  query: Database['query'],
  { files, folder, skipped }: { files: FileStore | null | undefined; folder: string; skipped: Record<string, number> },
  { table, id, avatar }: AvatarOwner,
): Promise<void> {
  if (!avatar) return;
  const [stored] = files ? await importFiles(files, folder, [avatar]) : [];
  const { fileName, mediaType, byteSize, sha256, object, image, createdAt } = avatar;
  const rows = stored
    ? await query(sql`
        INSERT INTO attachments (id, user_id, purpose, state, file_name, media_type, byte_size, sha256, object, image, created_at)
          SELECT ${avatar.id}::uuid, u.id, 'AVATAR', 'READY', ${fileName}, ${mediaType}, ${byteSize}::int,
                 decode(${sha256}, 'hex'), ${object}, ${image === null ? null : JSON.stringify(image)}::jsonb, ${createdAt}::timestamptz
            FROM users u WHERE u.id = ${avatar.userId}::uuid
          ON CONFLICT DO NOTHING RETURNING 1`)
    : [];
  if (rows.length === 0) {
    countReason(skipped, 'an avatar without its bytes or its uploader');
    return;
  }
  const owners = table === 'users' ? sql`users` : sql`chatrooms`;
  await query(sql`UPDATE ${owners} SET avatar_id = ${avatar.id}::uuid WHERE id = ${id}::uuid`);
}
