import { join } from 'node:path';
import type { Config } from '../../core/config/settings.ts';
import { createDiskStore } from './diskStore.ts';
import type { FileStore } from './fileStore.ts';
import { createS3Store } from './s3Store.ts';

/** Creates the store that the settings select. Null if FILES is off. Connects to nothing and creates no folder. */
export function createFileStore(config: Config): FileStore | null {
  if (config.FILES === 'off') return null;
  return config.FILES === 's3' ? createS3Store(config) : createDiskStore(join(config.DATA_DIR, 'files'));
}
