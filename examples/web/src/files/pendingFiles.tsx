import { type FileUpload, type UploadsResult, useUpload } from '@parley/client/react';
import { createContext, type ReactNode, use } from 'react';

/** Maximum number of files in a message. The server refuses more. */
export const MAX_FILES = 10;

/** A file that the viewer adds to a message. */
export type PendingFile = FileUpload;

const PendingFilesContext = createContext<UploadsResult | null>(null);
/** Rooms of the pending files. */
const roomOf = new WeakMap<File, string>();

/** Uploads the files that the viewer adds to messages. The uploads continue while another room is open. */
export function PendingFilesProvider({ children }: { children: ReactNode }) {
  return <PendingFilesContext value={useUpload()}>{children}</PendingFilesContext>;
}

/** Returns the files that the viewer adds to the next message of a room. */
export function usePendingFiles(roomId: string) {
  const uploads = use(PendingFilesContext);
  if (!uploads) throw new Error('usePendingFiles must be called inside a PendingFilesProvider.');
  const files = uploads.uploads.filter(({ file }) => roomOf.get(file) === roomId);
  return {
    files,
    /** Uploads files, up to `MAX_FILES` in all. Returns the number of files that exceed the limit. */
    add(added: readonly File[]): number {
      const accepted = added.slice(0, MAX_FILES - files.length);
      for (const file of accepted) roomOf.set(file, roomId);
      uploads.add(accepted);
      return added.length - accepted.length;
    },
    /** Uploads a file again. */
    retry: ({ key, file }: PendingFile): void => {
      uploads.remove(key);
      uploads.add([file]);
    },
    remove: uploads.remove,
    /** Removes all files from the list for a send, and returns the ids of their attachments. */
    take(): string[] {
      uploads.clear(files.map(({ key }) => key));
      return files.flatMap(({ attachment }) => attachment?.id ?? []);
    },
  };
}

/** Returns the state of a pending file. A file that the server has refused is failed. */
export function stateOf({ attachment, error }: PendingFile): 'uploading' | 'ready' | 'failed' {
  if (error || attachment?.state === 'REJECTED') return 'failed';
  return attachment ? 'ready' : 'uploading';
}
