import { useReadMarks } from '@parley/client/react';
import { Fragment, type RefObject, useEffect, useId, useLayoutEffect, useRef } from 'react';
import { personSelection } from '../chat.ts';
import { Icon } from '../parts/Icon.tsx';
import type { Message, OpenRoom, Room } from '../types.ts';
import { wordDay } from '../words.ts';
import { type Doing, MessageRow } from './MessageRow.tsx';
import { PendingRow } from './PendingRow.tsx';
import { readingOf } from './readingOf.ts';
import { useArrows } from './useArrows.ts';
import { useEnd } from './useEnd.ts';

/** Messages of one sender are grouped under one name if they follow each other within this time. */
const GROUPING_MS = 5 * 60_000;

interface Props {
  room: Room;
  chatroom: OpenRoom;
  viewerId: string;
  /**
   * Number of the newest message when the room was opened; `Infinity` after `markUnread`. The "New" line is shown only
   * if the first unread message has at most this number.
   */
  newestThen: number;
  /** Number of a message to show; null for the newest ones. */
  target: number | null;
  mayManage: boolean;
  /** Called when the newest message moves into or out of view. */
  onEnd: (atEnd: boolean) => void;
  onDo: (doing: Doing, message: Message) => void;
}

/**
 * The messages of a room. The layout starts at the end (column-reverse). The room therefore opens at its newest
 * message, and earlier messages are added above without moving the visible ones.
 */
export function History({ room, chatroom, viewerId, newestThen, target, mayManage, ...on }: Props) {
  const { messages, pending, readUpTo, hasEarlier, hasLater, loadEarlier, loadLater, showNewest } = chatroom;
  const box = useRef<HTMLDivElement>(null);
  const { atEnd, goToEnd } = useEnd(box, (now) => {
    on.onEnd(now);
    if (now && !hasLater) showNewest();
  });
  const newest = () => {
    showNewest();
    goToEnd();
  };
  const unsent = pending.length;
  const unsentBefore = useRef(0);
  // Shows a message that the viewer has just written. Does not scroll when a waiting message has been sent.
  useEffect(() => {
    if (unsent > unsentBefore.current) newest();
    unsentBefore.current = unsent;
  }, [unsent]);
  // Scrolls to the target message. Also moves the focus, so that a screen reader reads the message.
  useEffect(() => {
    if (target === null) return;
    const row = document.getElementById(`message-${target}`);
    row?.scrollIntoView({ block: 'center' });
    row?.focus({ preventScroll: true });
  }, [target]);

  const helpId = useId();
  const { current, onFocus, onKeyDown } = useArrows(messages);
  const marks = useReadMarks(room.id, personSelection);
  const read = readingOf(messages, room, viewerId, marks);
  const firstNew = messages.find((m) => m.number > readUpTo && m.sender?.id !== viewerId && m.kind === 'USER');
  const newLine = firstNew && firstNew.number <= newestThen ? firstNew : null;
  return (
    <div
      className="history"
      ref={box}
      tabIndex={0}
      role="group"
      aria-label="Messages"
      aria-describedby={helpId}
      onFocus={onFocus}
      onKeyDown={onKeyDown}
    >
      <p id={helpId} hidden>
        Use the arrow keys to move between messages.
      </p>
      {/* The button is before the messages, so that keyboard users reach it without passing them. */}
      {(!atEnd || hasLater) && (
        <button
          type="button"
          className="to-end"
          onClick={() => {
            newest();
            // The button is removed, which would lose the focus.
            box.current?.focus({ preventScroll: true });
          }}
        >
          <Icon name="down" /> Newest
        </button>
      )}
      <ol>
        {hasEarlier && <Page edge={messages[0]?.number} box={box} label="Earlier messages" onLoad={loadEarlier} />}
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
                reading={message === read?.message ? read.reading : null}
                current={message.number === current}
                target={message.number === target}
                mayDelete={own || mayManage}
                onDo={on.onDo}
              />
            </Fragment>
          );
        })}
        {hasLater && <Page edge={messages.at(-1)?.number} box={box} label="Later messages" onLoad={loadLater} />}
        {!hasLater &&
          pending.map((entry) => (
            <PendingRow
              key={entry.clientMessageId}
              entry={entry}
              replyTo={messages.find(({ id }) => id === entry.replyToId)}
            />
          ))}
      </ol>
    </div>
  );
}

function isContinued(before: Message, message: Message): boolean {
  return (
    before.kind === 'USER' &&
    message.kind === 'USER' &&
    before.sender?.id === message.sender?.id &&
    Date.parse(message.createdAt) - Date.parse(before.createdAt) < GROUPING_MS
  );
}

interface PageProps {
  /** Number of the message beside this row. It changes when a page has been loaded. */
  edge: number | undefined;
  box: RefObject<HTMLDivElement | null>;
  label: string;
  onLoad: () => Promise<void>;
}

/**
 * A row at the beginning or end of the loaded messages. Loads the adjoining page when the row comes near the visible
 * area. The button is for users who do not scroll.
 */
function Page({ edge, box, label, onLoad }: PageProps) {
  const row = useRef<HTMLLIElement>(null);
  const load = () => void onLoad().catch(() => undefined);
  useEffect(() => {
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) load();
      },
      { root: box.current, rootMargin: '600px 0px 0px' },
    );
    if (row.current) observer.observe(row.current);
    return () => observer.disconnect();
  }, [edge]);
  // The button is removed when the last page is loaded. Moves the focus to the list, because the focus would be lost.
  useLayoutEffect(() => {
    const item = row.current;
    return () => {
      if (item?.contains(document.activeElement)) box.current?.focus({ preventScroll: true });
    };
  }, []);
  return (
    <li ref={row} className="earlier">
      <button type="button" className="link" onClick={load}>
        {label}
      </button>
    </li>
  );
}
