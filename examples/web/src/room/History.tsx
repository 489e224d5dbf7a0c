import { Fragment, useEffect, useRef } from 'react';
import { Icon } from '../parts/Icon.tsx';
import type { Message } from '../types.ts';
import { wordDay } from '../words.ts';
import { type Doing, MessageRow } from './MessageRow.tsx';
import type { Pending } from './outbox.ts';
import { PendingRow } from './PendingRow.tsx';
import { useEnd } from './useEnd.ts';

const SOON_MS = 5 * 60_000;

/** How things stood when the viewer came: up to where they had read, and the newest message. */
export interface Arrival {
  read: number;
  last: number;
}

interface Props {
  messages: readonly Message[];
  pending: readonly Pending[];
  viewerId: string;
  arrival: Arrival;
  mayManage: boolean;
  hasEarlier: boolean;
  onEarlier: () => Promise<unknown>;
  /** The newest message is in sight, or no longer. */
  onEnd: (atEnd: boolean) => void;
  onDo: (doing: Doing, message: Message) => void;
}

/**
 * What was said. The box is laid out from its end: it opens there, and what is put in above moves nothing that one sees.
 */
export function History({ messages, pending, viewerId, arrival, mayManage, hasEarlier, ...on }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const { atEnd, goToEnd } = useEnd(box, on.onEnd);
  const sent = pending.length;
  // Whoever sends wants to see it.
  useEffect(() => {
    if (sent > 0) goToEnd();
  }, [sent]);

  const seenNumber = Math.max(...messages.filter((m) => m.seenByAll && m.sender?.id === viewerId).map((m) => m.number));
  const firstNew = messages.find((m) => m.number > arrival.read && m.sender?.id !== viewerId && m.kind === 'USER');
  const newLine = firstNew && firstNew.number <= arrival.last ? firstNew : null;
  return (
    <div className="history" ref={box} tabIndex={0} role="group" aria-label="Messages">
      <ol>
        {hasEarlier && <Earlier key={messages[0]?.number} box={box} onEarlier={on.onEarlier} />}
        {messages.map((message, i) => {
          const before = messages[i - 1];
          const newDay = !before || wordDay(before.createdAt) !== wordDay(message.createdAt);
          const unread = message === newLine;
          const own = message.sender?.id === viewerId;
          return (
            <Fragment key={message.id}>
              {newDay && <li className="day">{wordDay(message.createdAt)}</li>}
              {unread && <li className="unread-line">New</li>}
              <MessageRow
                message={message}
                own={own}
                follows={!newDay && !unread && isContinued(before, message)}
                seen={message.number === seenNumber}
                mayDelete={own || mayManage}
                onDo={on.onDo}
              />
            </Fragment>
          );
        })}
        {pending.map((entry) => (
          <PendingRow key={entry.clientMessageId} entry={entry} />
        ))}
      </ol>
      {!atEnd && (
        <button type="button" className="to-end" onClick={goToEnd}>
          <Icon name="down" /> Newest
        </button>
      )}
    </div>
  );
}

function isContinued(before: Message, message: Message): boolean {
  return (
    before.kind === 'USER' &&
    message.kind === 'USER' &&
    before.sender?.id === message.sender?.id &&
    Date.parse(message.createdAt) - Date.parse(before.createdAt) < SOON_MS
  );
}

/** Loads what is above when it comes near; a button for who does not scroll. */
function Earlier({ box, onEarlier }: { box: React.RefObject<HTMLDivElement | null>; onEarlier: Props['onEarlier'] }) {
  const row = useRef<HTMLLIElement>(null);
  useEffect(() => {
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) void onEarlier();
      },
      { root: box.current, rootMargin: '600px 0px 0px' },
    );
    if (row.current) observer.observe(row.current);
    return () => observer.disconnect();
  }, []);
  return (
    <li ref={row} className="earlier">
      <button type="button" className="link" onClick={() => void onEarlier()}>
        Earlier messages
      </button>
    </li>
  );
}
