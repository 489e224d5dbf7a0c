import { memo, type RefObject, useLayoutEffect, useRef } from 'react';
import { Attachments } from '../files/Attachments.tsx';
import { Avatar } from '../parts/Avatar.tsx';
import { systemSentence } from '../parts/sentences.tsx';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';
import { nameOf, wordTime } from '../words.ts';
import { Body } from './Body.tsx';
import { LinkPreviews } from './LinkPreviews.tsx';
import { MessageActions } from './MessageActions.tsx';
import { Quote } from './Quote.tsx';
import { ReadBy, type Reading } from './ReadBy.tsx';
import { Reactions } from './Reactions.tsx';

/** Actions of a message's menu that the room performs. */
export type Doing = 'reply' | 'edit' | 'unread';

interface Props {
  message: Message;
  /** Whether the viewer sent the message. */
  own: boolean;
  /** Whether the message is grouped with the one above, so that the name is not repeated. */
  follows: boolean;
  /** Readers, for the viewer's newest message that others have read; null for other messages. */
  reading: Reading | null;
  /** Whether the Tab key reaches the message's menu. */
  current: boolean;
  /** Whether the message is the target of the current link. */
  target: boolean;
  mayDelete: boolean;
  onDo: (doing: Doing, message: Message) => void;
}

export const MessageRow = memo(function MessageRow({
  message,
  own,
  follows,
  reading,
  current,
  target,
  mayDelete,
  onDo,
}: Props) {
  const { removed } = useToasts();
  const row = useRef<HTMLLIElement>(null);
  const deleted = message.deletedAt !== null || removed.has(message.id);
  if (message.kind === 'SYSTEM')
    return (
      <li className="system" id={`message-${message.number}`} tabIndex={-1} data-target={target || undefined}>
        <span>{systemSentence(message)}</span> <time dateTime={message.createdAt}>{wordTime(message.createdAt)}</time>
      </li>
    );
  const name = nameOf(message.sender);
  return (
    <li
      ref={row}
      className="message"
      id={`message-${message.number}`}
      tabIndex={-1}
      data-target={target || undefined}
      data-own={own || undefined}
      data-follows={follows || undefined}
    >
      {!deleted && <FocusKeeper row={row} />}
      {!own && !follows && <Avatar name={name} seed={message.sender?.username ?? ''} image={message.sender?.avatar} />}
      <div className="bubble-line">
        <div className="bubble" data-files={message.attachments.length > 0 || undefined}>
          <span className={own || follows ? 'hidden' : 'sender'}>
            <bdi>{own ? 'You' : name}</bdi>
          </span>
          {message.replyTo && !deleted && <Quote message={message.replyTo} />}
          {!deleted && <Attachments attachments={message.attachments} own={own} current={current} />}
          {deleted ? (
            <p className="body deleted">Message deleted</p>
          ) : message.body ? (
            <Body text={message.body} />
          ) : (
            // Deleting an account deletes its files, and keeps its messages.
            message.attachments.length === 0 && <p className="body deleted">Files deleted</p>
          )}
          <span className="stamp">
            {message.editedAt && !deleted && 'edited '}
            <time dateTime={message.createdAt}>{wordTime(message.createdAt)}</time>
          </span>
        </div>
        {!deleted && <MessageActions {...{ message, own, current, mayDelete, onDo }} />}
      </div>
      {!deleted && <LinkPreviews message={message} mayRemove={mayDelete} />}
      {!deleted && <Reactions message={message} />}
      {reading && <ReadBy reading={reading} />}
    </li>
  );
});

/**
 * Moves the focus from the controls of a message to its row when the message is deleted, because the focus would be
 * lost. Must be the first child of the row: React removes the children in order, and runs the cleanup before each.
 */
function FocusKeeper({ row }: { row: RefObject<HTMLLIElement | null> }) {
  useLayoutEffect(
    () => () => {
      // Read only here, because React sets the ref of the row after the effects of its children.
      if (row.current?.contains(document.activeElement)) row.current.focus({ preventScroll: true });
    },
    [],
  );
  return null;
}
