import { useState } from 'react';
import { useSession } from '../session.ts';

/** Storage key of a draft. Drafts are stored in the browser, so that they survive a change of rooms and a reload. */
const keyOf = (viewerId: string, roomId: string) => `parley draft ${viewerId} ${roomId}`;

/** Returns the viewer's draft in a room, and a function to change it. */
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
        // The browser's storage is full, so the draft is lost when the page is closed.
      }
    },
  ];
}

/** Deletes the drafts of a user who signs out. */
export function forgetDrafts(viewerId: string): void {
  for (const key of Object.keys(localStorage)) if (key.startsWith(keyOf(viewerId, ''))) localStorage.removeItem(key);
}
