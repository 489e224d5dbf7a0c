import { useState } from 'react';
import { useSession } from '../session.ts';

/** Drafts are kept in the browser, so that they outlast another room and a reload. */
const keyOf = (viewerId: string, roomId: string) => `parley draft ${viewerId} ${roomId}`;

/** What the viewer has begun to write in a room. */
export function useDraft(roomId: string): [string, (text: string) => void] {
  const { viewerId } = useSession();
  const key = keyOf(viewerId, roomId);
  const [text, setText] = useState(() => localStorage.getItem(key) ?? '');
  return [
    text,
    (next) => {
      setText(next);
      try {
        if (next === '') localStorage.removeItem(key);
        else localStorage.setItem(key, next);
      } catch {
        // The browser has no room for it: the draft lasts as long as the page.
      }
    },
  ];
}

/** Forgets the drafts of somebody who signs out. */
export function forgetDrafts(viewerId: string): void {
  for (const key of Object.keys(localStorage)) if (key.startsWith(keyOf(viewerId, ''))) localStorage.removeItem(key);
}
