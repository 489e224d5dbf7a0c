import { useApolloClient, useQuery } from '@apollo/client/react';
import { useRef, useState } from 'react';
import { HistoryDocument } from '../../generated/graphql.ts';
import { useSession } from '../session.ts';
import type { Message } from '../types.ts';
import { nameOf } from '../words.ts';
import { Blocked } from './Blocked.tsx';
import { Composer, type Draft } from './Composer.tsx';
import { type Arrival, History } from './History.tsx';
import { loadEarlier, PAGE, trimHistory } from './history.ts';
import { usePending } from './outbox.ts';
import { RoomHead } from './RoomHead.tsx';
import { useMarkRead } from './useMarkRead.ts';
import { useRoom } from './useRoom.ts';

const NOTHING_NEW: Arrival = { read: 0, last: 0 };

/** One room: what was said, what is said, and what one says. */
export function Room({ roomId }: { roomId: string }) {
  const { viewerId } = useSession();
  const apollo = useApolloClient();
  const [draft, setDraft] = useState<Draft>(null);
  const [atEnd, setAtEnd] = useState(true);
  const [heard, setHeard] = useState('');
  const arrival = useRef<Arrival | null>(null);
  const { loaded, problem, typing } = useRoom(roomId, (message) => {
    if (message.kind === 'USER' && message.sender?.id !== viewerId)
      setHeard(`${nameOf(message.sender)}: ${message.body ?? ''}`);
  });
  const { data } = useQuery(HistoryDocument, { variables: { id: roomId, last: PAGE }, fetchPolicy: 'cache-only' });
  const room = data?.chatroom;
  const messages: readonly Message[] = room?.messages?.edges.map(({ node }) => node) ?? [];
  const known = new Set(messages.map(({ clientMessageId }) => clientMessageId));
  const pending = usePending().filter((entry) => entry.roomId === roomId && !known.has(entry.clientMessageId));
  const lastOwn = messages.findLast((message) => message.sender?.id === viewerId && !message.deletedAt);
  const role = room?.viewerMembership?.role;

  useMarkRead(room ?? null, loaded && atEnd ? messages.at(-1) : undefined);
  if (loaded && room?.viewerMembership)
    arrival.current ??= { read: room.viewerMembership.lastReadNumber, last: messages.at(-1)?.number ?? 0 };

  if (problem !== null && !loaded) return <Nothing text={problem} />;
  if (!room || !loaded) return <Nothing text="Loading…" />;
  const startCursor = room.messages?.pageInfo.startCursor;
  return (
    <>
      <RoomHead room={room} typing={typing} />
      <History
        messages={messages}
        pending={pending}
        viewerId={viewerId}
        arrival={arrival.current ?? NOTHING_NEW}
        mayManage={role === 'OWNER' || role === 'ADMIN'}
        hasEarlier={room.messages?.pageInfo.hasPreviousPage ?? false}
        onEarlier={async () => {
          if (startCursor) await loadEarlier(apollo, roomId, startCursor).catch(() => undefined);
        }}
        onEnd={(nowAtEnd) => {
          setAtEnd(nowAtEnd);
          if (nowAtEnd) trimHistory(apollo, roomId);
        }}
        onDo={(doing, message) => setDraft({ doing, message })}
      />
      <p className="hidden" aria-live="polite">
        {heard}
      </p>
      {problem !== null ? (
        <p className="notice" role="alert">
          {problem}
        </p>
      ) : room.opponent?.viewerHasBlocked ? (
        <Blocked person={room.opponent} />
      ) : (
        <Composer
          room={room}
          draft={draft}
          onDraft={setDraft}
          onEditLast={() => lastOwn && setDraft({ doing: 'edit', message: lastOwn })}
        />
      )}
    </>
  );
}

function Nothing({ text }: { text: string }) {
  return (
    <p className="waiting" role="status">
      {text} <a href="#/">All rooms</a>
    </p>
  );
}
