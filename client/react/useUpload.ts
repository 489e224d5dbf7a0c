import { useCallback, useEffect, useRef, useState } from 'react';
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
  /** Reason of the failure; null otherwise. */
  readonly error: Failure | null;
}

export interface UploadsResult {
  /** In the order in which they were added. */
  uploads: readonly FileUpload[];
  /** Uploads files, for example those of an `<input type="file" multiple>`. */
  add: (files: Iterable<File>) => void;
  /** Starts a failed upload again. */
  retry: (key: string) => void;
  /** Cancels an upload and removes it from the list. Without a key, all of them, for example after the send. */
  remove: (key?: string) => void;
}

/** Uploads files with their progress, for a composer or a form. Cancels the running uploads when the component unmounts. */
export function useUpload({ purpose }: Pick<UploadOptions, 'purpose'> = {}): UploadsResult {
  const { client } = useChat();
  const [uploads, setUploads] = useState<readonly FileUpload[]>([]);
  const running = useRef(new Map<string, AbortController>());
  const remove = useCallback((key?: string) => {
    for (const [each, controller] of running.current) if (key === undefined || each === key) controller.abort();
    setUploads((list) => (key === undefined ? [] : list.filter((each) => each.key !== key)));
  }, []);
  const start = useCallback(
    (key: string, file: File) => {
      const set = (change: Partial<FileUpload>) => {
        setUploads((list) => list.map((each) => (each.key === key ? { ...each, ...change } : each)));
      };
      const controller = new AbortController();
      running.current.set(key, controller);
      const onProgress = ({ sentBytes }: { sentBytes: number }) => {
        set({ sentBytes });
      };
      client
        .upload(file, { purpose, onProgress, signal: controller.signal })
        .then((attachment) => set({ attachment }))
        .catch((error: unknown) => set({ error: failureOf(error) }))
        .finally(() => running.current.delete(key));
    },
    [client, purpose],
  );
  useEffect(() => {
    const { current } = running;
    return () => {
      for (const controller of current.values()) controller.abort();
    };
  }, []);
  return {
    uploads,
    add(files) {
      const added = [...files].map((file): FileUpload => ({
        ...{ key: crypto.randomUUID(), file, sentBytes: 0, attachment: null, error: null },
      }));
      setUploads((list) => [...list, ...added]);
      for (const { key, file } of added) start(key, file);
    },
    retry(key) {
      const failed = uploads.find((each) => each.key === key && each.error);
      if (!failed) return;
      setUploads((list) => list.map((each) => (each.key === key ? { ...each, sentBytes: 0, error: null } : each)));
      start(key, failed.file);
    },
    remove,
  };
}
