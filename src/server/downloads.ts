/**
 * Interval at which the permission to read a file is checked while its bytes are sent, in milliseconds. A slow reader
 * could otherwise read on for hours after losing the message.
 */
const RECHECK_MS = 900;

/** A file that is being sent to a user, perhaps over several connections. */
interface Download {
  mayRead: () => Promise<boolean>;
  ends: Set<() => void>;
}

/** Ends the downloads of users who may no longer read the file. */
export interface Downloads {
  /**
   * Watches a download.
   *
   * @param owner session that reads the file
   * @param file identifies the file
   * @param mayRead returns whether the session may still read the file
   * @param end ends the download
   * @returns a function that stops watching
   */
  watch(owner: string, file: string, mayRead: () => Promise<boolean>, end: () => void): () => void;
}

/**
 * Creates the downloads of one node. The files of a session are checked one after the other, so that a user with thousands
 * of slow downloads occupies one database connection at most.
 */
export function createDownloads(): Downloads {
  const sessions = new Map<string, Map<string, Download>>();

  async function check(owner: string, downloads: Map<string, Download>): Promise<void> {
    for (const { mayRead, ends } of [...downloads.values()]) {
      // While the database is away, the file is sent.
      if (ends.size > 0 && !(await mayRead().catch(() => true))) for (const end of ends) end();
    }
    if (downloads.size > 0) schedule(owner, downloads);
    else sessions.delete(owner);
  }

  function schedule(owner: string, downloads: Map<string, Download>): void {
    setTimeout(() => void check(owner, downloads), RECHECK_MS).unref();
  }

  return {
    watch(owner, file, mayRead, end) {
      let downloads = sessions.get(owner);
      if (!downloads) {
        sessions.set(owner, (downloads = new Map<string, Download>()));
        schedule(owner, downloads);
      }
      const download = downloads.get(file) ?? { mayRead, ends: new Set() };
      download.ends.add(end);
      downloads.set(file, download);
      return () => {
        download.ends.delete(end);
        if (download.ends.size === 0 && downloads.get(file) === download) downloads.delete(file);
      };
    },
  };
}
