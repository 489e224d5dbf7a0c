import { useMemo, useSyncExternalStore } from 'react';

/** Returns the hash for a room and a message, `#/room/ID/NUMBER`. The back button, reload and links work with it. */
export const hrefOf = (roomId: string, number?: number) =>
  `#/room/${encodeURIComponent(roomId)}${number === undefined ? '' : `/${number}`}`;
export const HOME = '#/';

export interface Place {
  roomId: string;
  /** Number of the message to show; null for the newest ones. */
  number: number | null;
}

/** Number of navigations. A click on a link to the current location counts, too: the page shows the message again. */
let visits = 0;
addEventListener('hashchange', () => {
  visits += 1;
});

/** Navigates to the current location again. Browsers fire `hashchange` only if the hash changes. */
export function reopen(href: string): void {
  if (location.hash === href) dispatchEvent(new HashChangeEvent('hashchange'));
}

/** Returns the open room and message, or null. The object is a new one after each navigation. */
export function usePlace(): Place | null {
  const visit = useSyncExternalStore(
    (listener) => {
      addEventListener('hashchange', listener);
      return () => removeEventListener('hashchange', listener);
    },
    () => visits,
  );
  return useMemo(() => {
    const [, id, number] = /^#\/room\/([^/]+)(?:\/(\d+))?$/.exec(location.hash) ?? [];
    return id === undefined
      ? null
      : { roomId: decodeURIComponent(id), number: number === undefined ? null : Number(number) };
  }, [visit]);
}

export function openRoom(roomId: string): void {
  location.hash = hrefOf(roomId);
}

export function goHome(): void {
  location.hash = HOME;
}
