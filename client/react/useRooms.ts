import { useEffect, useRef, useSyncExternalStore } from 'react';
import { documentsOf, type Selections, type ViewerEvent } from './documents.ts';
import { useChat } from './provider.ts';
import { createRooms, type RoomsState, type RoomsStore } from './rooms.ts';
import type * as Default from './types.ts';

export interface RoomsOptions<Room> extends Pick<Selections<unknown, Room>, 'room'> {
  /**
   * Called for each event of the viewer, such as a room that appeared or vanished, a changed friendship or a system
   * notice.
   */
  onEvent?: (event: ViewerEvent) => void;
}

export type RoomsResult<Room> = RoomsState<Room> & Pick<RoomsStore<Room>, 'loadMore'>;

/**
 * Returns the viewer's rooms, most recently active first. Last messages, unread counts and the list itself are kept up
 * to date.
 */
export function useRooms<Room = Default.Room>({ onEvent, ...selections }: RoomsOptions<Room> = {}): RoomsResult<Room> {
  const chat = useChat();
  const documents = documentsOf<Default.Message, Room, Default.User>(selections);
  const store = chat.store(`rooms ${documents.key}`, () => createRooms(chat, documents));
  const state = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);

  const latest = useRef(onEvent);
  useEffect(() => {
    latest.current = onEvent;
  });
  useEffect(() => store.onEvent((event) => latest.current?.(event)), [store]);
  return { ...state, loadMore: store.loadMore };
}
