import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from '@20minutes/s3rver';
import { onTestFinished } from 'vitest';

export interface ObjectStore {
  /** Settings of a node that uses the store. */
  env: Record<string, string>;
  /** Keys of all objects. */
  keys(): Promise<string[]>;
  /** Closes the port. */
  stop(): Promise<void>;
}

/** Starts an object store with an empty bucket. It ends with the test. */
export async function startS3(): Promise<ObjectStore> {
  const directory = await mkdtemp(join(tmpdir(), 'parley-s3-'));
  const bucket = { name: 'parley' };
  const server = new S3rver({
    ...{ port: 0, address: '127.0.0.1', silent: true, vhostBuckets: false },
    ...{ directory, configureBuckets: [bucket] },
  });
  const { port } = await server.run();
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= server.close());
  onTestFinished(async () => {
    await stop();
    await rm(directory, { recursive: true, force: true });
  });
  return {
    env: {
      ...{ FILES: 's3', S3_ENDPOINT: `http://127.0.0.1:${port}`, S3_BUCKET: bucket.name, S3_PATH_STYLE: 'on' },
      ...{ S3_ACCESS_KEY_ID: 'S3RVER', S3_SECRET_ACCESS_KEY: 'S3RVER' },
    },
    stop,
    async keys() {
      const root = join(directory, bucket.name);
      const names = await readdir(root, { recursive: true }).catch(() => []);
      return names.flatMap((name) => /^(.*)\._S3rver_object$/.exec(name)?.[1] ?? []);
    },
  };
}
