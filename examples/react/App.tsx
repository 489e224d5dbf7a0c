import { useConnection, useOutbox, usePresence, useReadMarks, useRoom, useRooms } from '@parley/client/react';
import { useState } from 'react';
import { Avatar, AvatarField } from './Avatar.tsx';
import { Composer } from './Composer.tsx';
import { MessageFile } from './Files.tsx';
import { ROOM, ROOM_OPTIONS } from './fragments.ts';
import { LinkPreviews } from './LinkPreviews.tsx';

/** Shows the viewer's rooms, the open room, and the friends who are online. */
export function App() {
  const { state } = useConnection();
  const { rooms, unreadCount, loading, error, hasMore, loadMore } = useRooms({ room: ROOM });
  const { friends } = usePresence();
  const [open, setOpen] = useState<string | null>(null);
  const online = friends.filter(({ presence }) => presence?.status === 'ONLINE');

  if (loading) return <p>Loading your rooms…</p>;
  return (
    <>
      <p role="status">{state}</p>
      <nav>
        <h1>Rooms ({unreadCount} unread)</h1>
        {error && <p role="alert">{error.message}</p>}
        <ul>
          {rooms.map((room) => (
            <li key={room.id}>
              {/* A DIRECT room has no avatar of its own. */}
              <Avatar image={room.avatar ?? room.opponent?.avatar} />
              <button onClick={() => setOpen(room.id)}>{room.title ?? 'Nobody else is here'}</button>
              {room.unreadCount > 0 && <b>{room.unreadCount}</b>} <i>{room.lastMessage?.body}</i>
            </li>
          ))}
        </ul>
        {hasMore && <button onClick={() => void loadMore()}>More rooms</button>}
        <p>Online: {online.map(({ nickname }) => nickname).join(', ') || 'nobody'}</p>
        <AvatarField label="My avatar" />
      </nav>
      {open !== null && <Room key={open} id={open} />}
    </>
  );
}

function Room({ id }: { id: string }) {
  const { retry, discard } = useOutbox();
  const {
    room,
    messages,
    pending,
    typing,
    loading,
    error,
    hasEarlier,
    loadEarlier,
    hasLater,
    loadLater,
    jumpTo,
    showNewest,
    markUnread,
  } = useRoom(id, ROOM_OPTIONS);
  const { marks, readersOf } = useReadMarks(id);
  if (loading) return <p>Loading the messages…</p>;
  const { role = 'MEMBER', user: viewer } = room?.viewerMembership ?? {};
  return (
    <main>
      <h2>{room?.title}</h2>
      {role !== 'MEMBER' && room?.kind !== 'DIRECT' && <AvatarField label="Avatar of the room" room={id} />}
      {hasEarlier && <button onClick={() => void loadEarlier()}>Earlier messages</button>}
      <button onClick={() => void jumpTo(1)}>First message</button>
      <ol>
        {messages.map((message) => (
          <li key={message.id} id={`message-${message.number}`}>
            <Avatar image={message.sender?.avatar} /> <b>{message.sender?.nickname}</b>:{' '}
            <span>{message.deletedAt ? 'Message deleted' : message.body}</span>
            {message.attachments.map((file) => (
              <MessageFile key={file.id} file={file} />
            ))}
            <LinkPreviews message={message} mayRemove={role !== 'MEMBER' || message.sender?.id === viewer?.id} />
            {message.editedAt && ' (edited)'}{' '}
            {message.reactions.map(({ emoji, count }) => `${emoji} ${count}`).join(' ')}
            {message.seenByAll && ' ✓'}
            <small
              title={readersOf(message.number)
                .map(({ nickname }) => nickname)
                .join(', ')}
            >
              {' '}
              read by {readersOf(message.number).length} of {marks.length}
            </small>
            <button onClick={() => void markUnread(message)}>Mark as unread</button>
          </li>
        ))}
        {pending.map(({ clientMessageId, body, attachmentIds = [], error }) => (
          <li key={clientMessageId}>
            <span>{body}</span> {attachmentIds.length > 0 && '(with files) '}
            {error?.message ?? 'sending…'}
            {error && <button onClick={() => retry(clientMessageId)}>Try again</button>}
            {error && <button onClick={() => discard(clientMessageId)}>Discard</button>}
          </li>
        ))}
      </ol>
      {hasLater && <button onClick={() => void loadLater()}>Later messages</button>}
      {hasLater && <button onClick={showNewest}>Newest messages</button>}
      <p>{typing.length > 0 && `${typing.map(({ nickname }) => nickname).join(', ')} is typing…`}</p>
      {error ? <p role="alert">{error.message}</p> : <Composer roomId={id} />}
    </main>
  );
}
