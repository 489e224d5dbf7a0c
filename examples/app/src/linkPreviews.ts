import type { ChatClient } from '@parley/client';
import { showImage } from './files.ts';
import { FindLinkPreviewDocument, type PreviewRowFragment } from './generated/graphql.ts';

/**
 * Finds the preview of a link that the user has typed. Returns null if there is none. Send its id in `linkPreviewIds`, in
 * place of `linkPreviews: 'AUTO'`.
 */
export async function findPreview(chat: ChatClient, url: string): Promise<PreviewRowFragment | null> {
  return (await chat.execute(FindLinkPreviewDocument, { url })).linkPreview ?? null;
}

/** Elements of previews, as in `showFile`. */
const elements = new WeakMap<PreviewRowFragment, HTMLElement>();

/** Returns an element that shows a preview. With `remove`, it has a button that calls it. */
export function showPreview(chat: ChatClient, preview: PreviewRowFragment, remove?: () => void): HTMLElement {
  const element = elements.get(preview) ?? createPreview(chat, preview, remove);
  elements.set(preview, element);
  return element;
}

function createPreview(chat: ChatClient, preview: PreviewRowFragment, remove?: () => void): HTMLElement {
  const { url, title, description, siteName, image } = preview;
  const [box, link] = [document.createElement('blockquote'), document.createElement('a')];
  Object.assign(link, { href: url, target: '_blank', rel: 'noreferrer' });
  // The page chooses its texts, so they are shown as plain text, beside the host, which it cannot choose.
  for (const text of [new URL(url).host, siteName, title, description]) {
    if (text == null) continue;
    const line = document.createElement('div');
    line.textContent = text;
    link.append(line);
  }
  if (image) link.append(showImage(chat, image, ''));
  box.append(link);
  if (remove) {
    const button = document.createElement('button');
    Object.assign(button, { textContent: '×', ariaLabel: 'Remove the preview', onclick: remove });
    box.append(button);
  }
  return box;
}
