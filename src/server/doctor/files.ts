import type { Config } from '../../core/config/settings.ts';
import { fault, type Finding, ok, warning } from '../../core/findings.ts';
import { createFileStore } from '../../platform/files/createFileStore.ts';
import { createScanner } from '../../platform/scanner.ts';

/** Checks the file store by writing and deleting an object, and the scanner of files. */
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
    ...(await examineScanner(config)),
    ...(config.NODE_ENV === 'production' && config.FILES === 'disk'
      ? [
          warning(
            'FILES is disk: files are on this machine only, and a second node is refused. Back them up, or set FILES=s3.',
          ),
        ]
      : []),
  ];
}

async function examineScanner({ CLAMAV }: Config): Promise<Finding[]> {
  const scanner = createScanner(CLAMAV);
  if (!scanner) return [];
  return scanner.check().then(
    () => [ok('clamd scans uploaded files (CLAMAV).')],
    (error: unknown) => [fault((error as Error).message)],
  );
}
