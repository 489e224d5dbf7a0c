import type { ChatClient, UploadOptions } from '@parley/client';
import { thumbHashToDataURL } from 'thumbhash';
import type { AttachmentRejection, FileRowFragment, ImageRowFragment } from './generated/graphql.ts';

const REASONS: Record<AttachmentRejection, string> = {
  INFECTED: 'a virus was found in it',
  NOT_WHAT_IT_SAYS: 'its content contradicts its name',
  TOO_LARGE: 'it has too many pixels or frames for an avatar',
  UNREADABLE: 'it is damaged',
};

/**
 * Uploads a file and returns the id of its attachment.
 *
 * @throws Error with a message for the user
 */
export async function uploadFile(chat: ChatClient, file: File, options: UploadOptions = {}): Promise<string> {
  const { id, rejection } = await chat.upload(file, options);
  if (rejection) throw new Error(`${file.name} was rejected, because ${REASONS[rejection]}.`);
  return id;
}

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
    const id = await uploadFile(chat, file, {
      signal,
      onProgress({ sentBytes, totalBytes }) {
        onProgress(`${file.name}: ${Math.floor((100 * sentBytes) / totalBytes)} %`);
      },
    });
    await chat.send({ chatroomId: room, body: '', attachmentIds: [id] }, { signal });
  } finally {
    onProgress('');
  }
}

/** Elements of files. The cache returns the same object until the file changes, so no picture is loaded twice. */
const elements = new WeakMap<FileRowFragment, HTMLElement>();

/** Returns an element that shows a file: a picture that links to its original, or a row with the name and the size. */
export function showFile(chat: ChatClient, file: FileRowFragment): HTMLElement {
  const element = elements.get(file) ?? createFile(chat, file);
  elements.set(file, element);
  return element;
}

function createFile(
  chat: ChatClient,
  { fileName, mediaType, byteSize, state, rejection, url, image }: FileRowFragment,
) {
  if (url == null) {
    const row = document.createElement('i');
    row.textContent = state === 'REJECTED' ? `${fileName} was rejected` : `${fileName} is being checked…`;
    if (rejection) row.textContent += `, because ${REASONS[rejection]}`;
    return row;
  }
  const link = document.createElement('a');
  link.target = '_blank';
  const renew = () => void chat.fileUrl(url).then((href) => (link.href = href), console.error);
  renew();
  // A URL expires after 5 to 60 minutes, and a page may be open for longer.
  for (const event of ['pointerenter', 'focus']) link.addEventListener(event, renew);
  link.append(
    image ? showImage(chat, image, fileName) : `${fileName} (${mediaType}, ${Math.ceil(byteSize / 1000)} KB)`,
  );
  return link;
}

/** Returns a picture. Shows its blurred placeholder until it is loaded. */
export function showImage(
  chat: ChatClient,
  { url, width, height, thumbHash }: ImageRowFragment,
  alt: string,
): HTMLImageElement {
  const picture = document.createElement('img');
  // The size reserves the space of the picture. The width is limited, because a preview has up to 1,280 pixels.
  Object.assign(picture, { alt, width, height });
  Object.assign(picture.style, { maxWidth: 'min(20rem, 100%)', height: 'auto' });
  const bytes = Uint8Array.from(atob(thumbHash), (char) => char.charCodeAt(0));
  picture.style.background = `center / 100% 100% url(${thumbHashToDataURL(bytes)})`;
  // The placeholder would shine through a transparent picture.
  picture.addEventListener('load', () => (picture.style.background = ''));
  void chat.fileUrl(url).then((src) => (picture.src = src), console.error);
  return picture;
}

/** Returns an avatar, or an empty circle. `name` is its description; pass an empty one beside the name. */
export function showAvatar(chat: ChatClient, avatar: ImageRowFragment | null | undefined, name = ''): HTMLElement {
  const element = avatar ? showImage(chat, avatar, name) : document.createElement('span');
  element.style.cssText += 'display: inline-block; width: 2em; height: 2em; border-radius: 50%; object-fit: cover';
  if (!avatar) element.style.background = 'silver';
  return element;
}
