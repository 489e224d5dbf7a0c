import type { ChatClient } from '@parley/client';
import type { FileRowFragment } from './generated/graphql.ts';

/**
 * Uploads a file and sends it as a message. Calls `onProgress` with a text for the user, which is empty at the end. The
 * signal cancels the upload, and the send while it waits.
 *
 * @throws Error with a message for the user
 */
export async function sendFile(
  chat: ChatClient,
  room: string,
  file: File,
  onProgress: (text: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  try {
    const { id, state } = await chat.upload(file, {
      signal,
      onProgress({ sentBytes, totalBytes }) {
        onProgress(`${file.name}: ${Math.floor((100 * sentBytes) / totalBytes)} %`);
      },
    });
    if (state === 'REJECTED') throw new Error(`${file.name} is damaged, or its content contradicts its name.`);
    onProgress('');
    await chat.send({ chatroomId: room, body: '', attachmentIds: [id] }, { signal });
  } finally {
    onProgress('');
  }
}

/** Returns an element that shows a file: a picture, or a link to any other file. */
export function showFile(chat: ChatClient, { fileName, state, url, image }: FileRowFragment): HTMLElement {
  if (image) {
    const picture = document.createElement('img');
    // The size reserves the space of the picture before it is loaded.
    Object.assign(picture, { alt: fileName, width: image.width, height: image.height });
    void chat.fileUrl(image.url).then((src) => (picture.src = src), console.error);
    return picture;
  }
  const link = document.createElement('a');
  link.textContent =
    state === 'READY' ? fileName : `${fileName} (${state === 'PROCESSING' ? 'processing' : 'rejected'})`;
  if (url) void chat.fileUrl(url).then((href) => (link.href = href), console.error);
  return link;
}
