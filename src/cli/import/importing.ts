import type { Passwords } from '../../auth/passwordHashing.ts';
import type { Progress } from '../../core/progress.ts';
import type { FileStore } from '../../platform/files/fileStore.ts';
import type { Database } from '../../platform/database/database.ts';

/** Dependencies of an import. */
export interface ImportContext {
  database: Database;
  passwords: Passwords;
  progress: Progress;
  /** Receives the bytes of files. Null if the server stores no files. */
  files?: FileStore | null;
}

/** Result of an import: what was added, skipped and changed. */
export interface ImportSummary {
  users: number;
  chatrooms: number;
  messages: number;
  /** Number of skipped lines, records and values by reason. */
  skipped: Record<string, number>;
  /** Number of values that were changed to fit Parley, by reason. */
  changed: Record<string, number>;
}
