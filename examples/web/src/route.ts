import { useSyncExternalStore } from 'react';

/** Which room is open stands in the address, so that back, reload and links work: `#/room/ID`. */
export const hrefOf = (roomId: string) => `#/room/${encodeURIComponent(roomId)}`;
export const HOME = '#/';

export function useOpenRoom(): string | null {
  const hash = useSyncExternalStore(
    (listener) => {
      addEventListener('hashchange', listener);
      return () => removeEventListener('hashchange', listener);
    },
    () => location.hash,
  );
  const [, id] = /^#\/room\/(.+)$/.exec(hash) ?? [];
  return id === undefined ? null : decodeURIComponent(id);
}

export function openRoom(roomId: string): void {
  location.hash = hrefOf(roomId);
}

export function goHome(): void {
  location.hash = HOME;
}
