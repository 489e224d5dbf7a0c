declare module '../core/context.ts' {
  interface ServerNode {
    /** Null if CLAMAV is not set: files are not scanned. */
    scanner: Scanner | null;
  }
}

/** Result of a scan. `AWAY`: the file could not be scanned and must be scanned again later; `reason` is for the log. */
export type ScanResult =
  { outcome: 'CLEAN' } | { outcome: 'INFECTED'; signature: string } | { outcome: 'AWAY'; reason: string };

/** Scans files with clamd, over the INSTREAM command. */
export interface Scanner {
  /**
   * Scans a file. At most four scans run at a time; further ones wait. Never rejects because of clamd.
   *
   * @throws Error if the file cannot be read
   */
  scan(path: string): Promise<ScanResult>;
  /** Aborts running scans, which end as `AWAY`. */
  close(): void;
}
