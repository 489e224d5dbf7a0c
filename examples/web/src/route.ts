import { useMemo, useSyncExternalStore } from 'react';

/** The open room, and the message to show, stand in the address, so that back, reload and links work: `#/room/ID/NUMBER`. */
export const hrefOf = (roomId: string, number?: number) =>
  `#/room/${encodeURIComponent(roomId)}${number === undefined ? '' : `/${number}`}`;
export const HOME = '#/';

export interface Place {
  roomId: string;
  /** Number of the message to show; null for the newest ones. */
  number: number | null;
}

/** Counts what was opened, because a link to where one is shows the message again. */
let visits = 0;
addEventListener('hashchange', () => {
  visits += 1;
});

/** Opens a place again if it is in the address already. Browsers report only changes. */
export function reopen(href: string): void {
  if (location.hash === href) dispatchEvent(new HashChangeEvent('hashchange'));
}

/** The open place: another object for each visit. */
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
