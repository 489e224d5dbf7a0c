import { useRoom } from '@parley/client/react';
import { useCallback, useEffect, useRef, useState } from 'react';
import { messageSelections } from '../chat.ts';
import { wordError, wordFailure } from '../errors.ts';
import { useToasts } from '../parts/Toast.tsx';
import { Waiting } from '../parts/Waiting.tsx';
import { HOME, type Place } from '../route.ts';
import { useSession } from '../session.ts';
import type { Message } from '../types.ts';
import { nameOf, wordContent, wordVanished } from '../words.ts';
import { Blocked } from './Blocked.tsx';
import { Composer, type Draft } from './Composer.tsx';
import { History } from './History.tsx';
import type { Doing } from './MessageRow.tsx';
import { RoomHead } from './RoomHead.tsx';

/** The open room: its head, its messages and the composer. */
export function Room({ place }: { place: Place }) {
  const { roomId, number } = place;
  const { viewerId } = useSession();
  const { report } = useToasts();
  const [draft, setDraft] = useState<Draft>(null);
  const [atEnd, setAtEnd] = useState(true);
  const [announcement, setAnnouncement] = useState('');
  const [target, setTarget] = useState<number | null>(null);
  const newestThen = useRef<number | null>(null);
  const chatroom = useRoom(roomId, {
    ...messageSelections,
    atEnd,
    onMessage(message) {
      if (message.kind === 'USER' && message.sender?.id !== viewerId)
        setAnnouncement(`${nameOf(message.sender)}: ${wordContent(message)}`);
    },
  });
  const { room, messages, loading, error, jumpTo, markUnread } = chatroom;

  // Opens a link to a message, such as a search hit.
  useEffect(() => {
    if (loading || number === null) return;
    setTarget(null);
    jumpTo(number)
      .then((found) => (found ? setTarget(number) : report('This message does not exist, or you may not see it.')))
      .catch((failure: unknown) => report(wordError(failure)));
  }, [loading, place]);

  if (room && !loading) newestThen.current ??= messages.at(-1)?.number ?? 0;
  const onDo = useCallback((doing: Doing, message: Message) => {
    if (doing !== 'unread') {
      setDraft({ doing, message });
      return;
    }
    newestThen.current = Infinity;
    markUnread(message)
      .then(() => setAnnouncement('Marked as unread.'))
      .catch((failure: unknown) => report(wordError(failure)));
  }, []);
  const problem = error && (error.code === 'NOT_FOUND' ? wordVanished(null) : wordFailure(error));
  if (!room || loading) return <Nothing text={problem ?? 'Loading…'} />;
  const role = room.viewerMembership?.role;
  const lastOwn = messages.findLast((message) => message.sender?.id === viewerId && !message.deletedAt);
  return (
    <>
      <RoomHead room={room} typing={chatroom.typing} />
      <div className="history-box">
        <History
          room={room}
          chatroom={chatroom}
          viewerId={viewerId}
          newestThen={newestThen.current ?? 0}
          target={target}
          mayManage={role === 'OWNER' || role === 'ADMIN'}
          onEnd={setAtEnd}
          onDo={onDo}
        />
      </div>
      <p className="hidden" aria-live="polite">
        {announcement}
      </p>
      {problem !== null && (
        <p className="notice" role="alert">
          {problem}
        </p>
      )}
      {error?.code === 'NOT_FOUND' ? null : room.opponent?.viewerHasBlocked ? (
        <Blocked person={room.opponent} />
      ) : (
        <Composer
          room={room}
          chatroom={chatroom}
          draft={draft}
          onDraft={setDraft}
          onEditLast={() => lastOwn && setDraft({ doing: 'edit', message: lastOwn })}
        />
      )}
    </>
  );
}

/** Placeholder for a room that is loading or cannot be shown. */
export function Nothing({ text }: { text: string }) {
  return (
    <Waiting>
      {text} <a href={HOME}>All rooms</a>
    </Waiting>
  );
}
