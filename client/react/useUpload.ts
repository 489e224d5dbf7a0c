import { useEffect, useRef, useState } from 'react';
import type { Failure, UploadedFile, UploadOptions } from '../index.ts';
import { DELETE_UPLOAD } from '../uploads.ts';
import { failureOf } from './failure.ts';
import { useChat } from './provider.ts';

/** A file that is being uploaded or has been uploaded. */
export interface FileUpload {
  /** Identifies the upload within the hook. */
  readonly key: string;
  readonly file: File;
  /** Number of bytes that were sent. When all were sent, the server still checks and processes the file. */
  readonly sentBytes: number;
  /**
   * The attachment. Null until the upload is complete and the file was processed, or takes long to process. A file with the
   * state `REJECTED` cannot be sent; show its `rejection` before the send.
   */
  readonly attachment: UploadedFile | null;
  /** Reason of the failure; null otherwise. To try again, remove the upload and add its file again. */
  readonly error: Failure | null;
}

export interface UploadsResult {
  /** In the order in which they were added. */
  uploads: readonly FileUpload[];
  /** Uploads files, for example those of an `<input type="file" multiple>`. */
  add: (files: Iterable<File>) => void;
  /** Removes a file that the user does not want to send. Cancels its upload, and deletes the file on the server. */
  remove: (key: string) => void;
  /**
   * Removes files from the list after the send. Cancels those that are not complete, and deletes no others on the server. Without
   * keys, removes all of them.
   */
  clear: (keys?: readonly string[]) => void;
}

/** Uploads files and returns their progress. Cancels the uploads that are not complete when the component unmounts. */
export function useUpload({ purpose }: Pick<UploadOptions, 'purpose'> = {}): UploadsResult {
  const { client } = useChat();
  const [uploads, setUploads] = useState<readonly FileUpload[]>([]);
  const { current: running } = useRef(new Map<string, AbortController>());
  const cancel = (keys?: readonly string[]) => {
    for (const [key, controller] of running) if (!keys || keys.includes(key)) controller.abort();
  };
  useEffect(
    () => () => {
      cancel();
    },
    [running],
  );

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

  const clear = (keys?: readonly string[]) => {
    cancel(keys);
    setUploads((list) => (keys ? list.filter(({ key }) => !keys.includes(key)) : []));
  };

  return {
    uploads,
    clear,
    add(files) {
      const added = Array.from(files, (file) => ({
        ...{ key: crypto.randomUUID(), file, sentBytes: 0, attachment: null, error: null },
      }));
      setUploads((list) => [...list, ...added]);
      for (const upload of added) void start(upload);
    },
    remove(key) {
      clear([key]);
      const id = uploads.find((each) => each.key === key)?.attachment?.id;
      // If this fails, the server deletes the file after 24 hours.
      if (id !== undefined) client.execute(DELETE_UPLOAD, { input: { uploadId: id } }).catch(() => undefined);
    },
  };
}
