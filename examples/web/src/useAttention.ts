import { useEffect, useRef } from 'react';
import { openRoom } from './route.ts';
import type { Room } from './types.ts';
import { nameOf, titleOf, wordContent } from './words.ts';

/** Shows the number of unread messages in the title and a dot in the icon. */
export function useUnreadTitle(unreadCount: number): void {
  useEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
    document.title = unreadCount > 0 ? `(${unreadCount > 99 ? '99+' : unreadCount}) Parley` : 'Parley';
    if (icon) icon.href = unreadCount > 0 ? '/icon-unread.svg' : '/icon.svg';
    return () => {
      document.title = 'Parley';
      if (icon) icon.href = '/icon.svg';
    };
  }, [unreadCount]);
}

/** Shows notifications of new messages while the page is hidden, if the viewer has allowed them in the profile. */
export function useNotifications(rooms: readonly Room[], viewerId: string): void {
  const seen = useRef(new Map<string, number>());
  useEffect(() => {
    for (const room of rooms) {
      const { id, lastMessage: message, unreadCount } = room;
      const before = seen.current.get(id);
      seen.current.set(id, message?.number ?? 0);
      if (!message || before === undefined || message.number <= before || unreadCount === 0) continue;
      if (message.kind !== 'USER' || message.sender?.id === viewerId || !document.hidden) continue;
      if (!('Notification' in window) || Notification.permission !== 'granted') continue;
      const title = room.kind === 'DIRECT' ? titleOf(room) : `${nameOf(message.sender)} in ${titleOf(room)}`;
      // Because of the tag, the room's next notification replaces this one.
      const notification = new Notification(title, { body: wordContent(message), tag: id, icon: '/icon.svg' });
      notification.onclick = () => {
        window.focus();
        openRoom(id);
      };
    }
  }, [rooms, viewerId]);
}
