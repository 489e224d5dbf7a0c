import { useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react';
import { documentsOf, type MessageKey, type Selections } from './documents.ts';
import { createEndInView } from './endInView.ts';
import { useChat } from './provider.ts';
import { createRoom, type RoomState, type RoomStore } from './room.ts';
import type * as Default from './types.ts';

export interface RoomOptions<Message, Room, User> extends Selections<Message, Room, User> {
  /** Number of messages per page; 40 by default, at most 100. */
  pageSize?: number;
  /**
   * Whether the newest message is in view. While it is in view and the page is visible, messages are marked as read, at
   * most once a second. If a component omits this option, the values of other components for the same room apply. If
   * all omit it, the newest message counts as in view.
   */
  atEnd?: boolean;
  /** Called for each new message, in order. After a reconnect, also called for each missed message. */
  onMessage?: (message: Message & MessageKey) => void;
}

export type RoomResult<Message, Room, User> = RoomState<Message, Room, User> &
  Pick<
    RoomStore<Message, Room, User>,
    'loadEarlier' | 'loadLater' | 'jumpTo' | 'showNewest' | 'markUnread' | 'send' | 'setTyping'
  >;

/**
 * Returns a room with its newest messages, kept up to date: messages, edits, deletions, reactions, typing users and
 * read states. One subscription loads the room and delivers its later events. No message, edit, deletion or reaction is
 * lost, even while the client is offline.
 */
export function useRoom<Message = Default.Message, Room = Default.Room, User = Default.User>(
  chatroomId: string,
  { pageSize = 40, atEnd, onMessage, ...selections }: RoomOptions<Message, Room, User> = {},
): RoomResult<Message, Room, User> {
  const chat = useChat();
  const documents = documentsOf(selections);
  const store = chat.store(`room ${chatroomId} ${pageSize} ${documents.key}`, () =>
    createRoom(chat, documents, chatroomId, pageSize),
  );
  const state = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  const visible = usePageVisible();
  const newest = state.hasLater ? undefined : state.messages.at(-1);
  const endInView = chat.store(`endInView ${chatroomId}`, createEndInView);
  const isEndInView = useSyncExternalStore(endInView.subscribe, endInView.getSnapshot, endInView.getSnapshot);
  // All components declare `atEnd` before any of them marks a message, because layout effects run before other effects.
  useLayoutEffect(() => (atEnd === undefined ? undefined : endInView.declare(atEnd)), [endInView, atEnd]);
  useEffect(() => {
    // Reads the state again, because another component may have declared `false` since this render.
    if (visible && isEndInView && endInView.getSnapshot() && newest) store.markRead(newest);
  }, [store, visible, endInView, isEndInView, newest]);

  const latest = useRef(onMessage);
  useEffect(() => {
    latest.current = onMessage;
  });
  useEffect(() => store.onMessage((message) => latest.current?.(message)), [store]);

  const { loadEarlier, loadLater, jumpTo, showNewest, markUnread, send, setTyping } = store;
  return { ...state, loadEarlier, loadLater, jumpTo, showNewest, markUnread, send, setTyping };
}

/** Returns whether the page is visible; always true without a page, as in React Native. */
function usePageVisible(): boolean {
  const isVisible = () => typeof document === 'undefined' || document.visibilityState === 'visible';
  const [visible, setVisible] = useState(isVisible);
  useEffect(() => {
    if (typeof document === 'undefined') return undefined;
    const update = () => {
      setVisible(isVisible());
    };
    document.addEventListener('visibilitychange', update);
    return () => {
      document.removeEventListener('visibilitychange', update);
    };
  }, []);
  return visible;
}
