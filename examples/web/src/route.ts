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

export function usePlace(): Place | null {
  const hash = useSyncExternalStore(
    (listener) => {
      addEventListener('hashchange', listener);
      return () => removeEventListener('hashchange', listener);
    },
    () => location.hash,
  );
  return useMemo(() => {
    const [, id, number] = /^#\/room\/([^/]+)(?:\/(\d+))?$/.exec(hash) ?? [];
    return id === undefined
      ? null
      : { roomId: decodeURIComponent(id), number: number === undefined ? null : Number(number) };
  }, [hash]);
}

export function openRoom(roomId: string): void {
  location.hash = hrefOf(roomId);
}

export function goHome(): void {
  location.hash = HOME;
}
