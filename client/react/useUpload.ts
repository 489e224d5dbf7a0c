import { useEffect, useRef, useState } from 'react';
import type { Failure, UploadedFile, UploadOptions } from '../index.ts';
import { failureOf } from './failure.ts';
import { useChat } from './provider.ts';

/** A file that is being uploaded or has been uploaded. */
export interface FileUpload {
  /** Identifies the upload within the hook. */
  readonly key: string;
  readonly file: File;
  readonly sentBytes: number;
  /** The attachment. Null until the upload is complete. */
  readonly attachment: UploadedFile | null;
  /** Reason of the failure; null otherwise. To try again, remove the upload and add its file again. */
  readonly error: Failure | null;
}

export interface UploadsResult {
  /** In the order in which they were added. */
  uploads: readonly FileUpload[];
  /** Uploads files, for example those of an `<input type="file" multiple>`. */
  add: (files: Iterable<File>) => void;
  /** Cancels and removes an upload. Without a key, all of them, for example after the send. */
  remove: (key?: string) => void;
}

/** Uploads files and returns their progress. Cancels the uploads that are not complete when the component unmounts. */
export function useUpload({ purpose }: Pick<UploadOptions, 'purpose'> = {}): UploadsResult {
  const { client } = useChat();
  const [uploads, setUploads] = useState<readonly FileUpload[]>([]);
  const { current: running } = useRef(new Map<string, AbortController>());
  const cancel = (key?: string) => {
    for (const [each, controller] of running) if (key === undefined || each === key) controller.abort();
  };
  useEffect(() => cancel, [running]);

  async function start({ key, file }: FileUpload): Promise<void> {
    const set = (change: Partial<FileUpload>) => {
      setUploads((list) => list.map((each) => (each.key === key ? { ...each, ...change } : each)));
    };
    const controller = new AbortController();
    running.set(key, controller);
    try {
      const onProgress = ({ sentBytes }: { sentBytes: number }) => {
        set({ sentBytes });
      };
      set({ attachment: await client.upload(file, { purpose, onProgress, signal: controller.signal }) });
    } catch (error) {
      set({ error: failureOf(error) });
    } finally {
      running.delete(key);
    }
  }

  return {
    uploads,
    add(files) {
      const added = Array.from(files, (file) => ({
        ...{ key: crypto.randomUUID(), file, sentBytes: 0, attachment: null, error: null },
      }));
      setUploads((list) => [...list, ...added]);
      for (const upload of added) void start(upload);
    },
    remove(key) {
      cancel(key);
      setUploads((list) => (key === undefined ? [] : list.filter((each) => each.key !== key)));
    },
  };
}
