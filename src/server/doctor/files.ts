import type { Config } from '../../core/config/settings.ts';
import { fault, type Finding, ok, warning } from '../../core/findings.ts';
import { createFileStore } from '../../platform/files/createFileStore.ts';

/** Checks the file store by writing and deleting an object. */
export async function examineFileStore(config: Config): Promise<Finding[]> {
  const files = createFileStore(config);
  if (!files) return [ok('FILES is off: no files are stored.')];
  try {
    await files.check();
  } catch (error) {
    return [fault((error as Error).message)];
  }
  return [
    ok(`Uploaded files can be written and read (FILES=${config.FILES}).`),
    ...(config.NODE_ENV === 'production' && config.FILES === 'disk'
      ? [
          warning(
            'FILES is disk: files are on this machine only, and a second node is refused. Back them up, or set FILES=s3.',
          ),
        ]
      : []),
  ];
}
