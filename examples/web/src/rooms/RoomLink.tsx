import { Avatar } from '../parts/Avatar.tsx';
import { hrefOf } from '../route.ts';
import type { Room } from '../types.ts';
import { preview, titleOf, wordWhen } from '../words.ts';

/** A room in the list: what was said last, and how much was not read. */
export function RoomLink({ room, viewerId, open }: { room: Room; viewerId: string; open: boolean }) {
  const { lastMessage, lastMessageAt, unreadCount, opponent } = room;
  const title = titleOf(room);
  const { who, what } = preview(lastMessage, viewerId);
  const online = opponent?.presence?.status === 'ONLINE';
  return (
    <a className="room-link" href={hrefOf(room.id)} aria-current={open ? 'page' : undefined}>
      <Avatar name={title} seed={opponent?.username ?? room.id} online={online} />
      <span className="room-title">
        <bdi>{title}</bdi>
        {online && <span className="hidden">, online</span>}
      </span>
      {lastMessageAt && (
        <time className="quiet" dateTime={lastMessageAt}>
          {wordWhen(lastMessageAt)}
        </time>
      )}
      <span className="room-last">
        {who !== null && (
          <>
            <bdi>{who}</bdi>:{' '}
          </>
        )}
        <bdi>{what}</bdi>
      </span>
      {unreadCount > 0 && (
        <span className="badge">
          {unreadCount > 99 ? '99+' : unreadCount}
          <span className="hidden"> unread</span>
        </span>
      )}
    </a>
  );
}
