import { Avatar } from '../parts/Avatar.tsx';
import { systemSentence } from '../parts/sentences.tsx';
import { hrefOf } from '../route.ts';
import type { Room } from '../types.ts';
import { nameOf, titleOf, wordContent, wordWhen } from '../words.ts';

/** A room in the list, with its last message and the number of unread messages. */
export function RoomLink({ room, viewerId, open }: { room: Room; viewerId: string; open: boolean }) {
  const { lastMessage, lastMessageAt, unreadCount, opponent } = room;
  const title = titleOf(room);
  const online = opponent?.presence?.status === 'ONLINE';
  return (
    <a className="room-link" href={hrefOf(room.id)} aria-current={open ? 'page' : undefined}>
      <Avatar name={title} seed={opponent?.username ?? room.id} image={(opponent ?? room).avatar} online={online} />
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
        <Preview message={lastMessage} viewerId={viewerId} />
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

/** Preview of a room's last message: its sender and its first line. */
function Preview({ message, viewerId }: { message: Room['lastMessage']; viewerId: string }) {
  if (!message) return 'No messages yet';
  if (message.kind === 'SYSTEM') return systemSentence(message);
  const [line = ''] = wordContent(message).trim().split('\n', 1);
  return (
    <>
      <bdi>{message.sender?.id === viewerId ? 'You' : nameOf(message.sender)}</bdi>:{' '}
      <bdi>{message.deletedAt ? 'message deleted' : line}</bdi>
    </>
  );
}
