import { useEffect, useRef, useSyncExternalStore } from 'react';
import { documentsOf, type Selections, type ViewerEvent } from './documents.ts';
import { useChat } from './provider.ts';
import { createRooms, type RoomsState, type RoomsStore } from './rooms.ts';
import type * as Default from './types.ts';

export interface RoomsOptions<Room> extends Pick<Selections<unknown, Room>, 'room'> {
  /** Called for each event of the viewer: a room that appeared or vanished, a friendship, a notice of the system. */
  onEvent?: (event: ViewerEvent) => void;
}

export type RoomsResult<Room> = RoomsState<Room> & Pick<RoomsStore<Room>, 'loadMore'>;

/** The viewer's rooms, the most recently active first, kept up to date: last messages, unread counts, rooms that come and go. */
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
