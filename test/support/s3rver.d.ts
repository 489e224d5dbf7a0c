declare module '@20minutes/s3rver' {
  import type { AddressInfo } from 'node:net';

  /** A server with the API of Amazon S3. It verifies signatures and their expiry, but no checksums. */
  export default class S3rver {
    constructor(options: {
      port: number;
      address: string;
      silent: boolean;
      directory: string;
      vhostBuckets: boolean;
      configureBuckets: { name: string }[];
    });
    run(): Promise<AddressInfo>;
    close(): Promise<void>;
  }
}
