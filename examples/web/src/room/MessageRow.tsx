import { memo } from 'react';
import { Avatar } from '../parts/Avatar.tsx';
import { systemSentence } from '../parts/sentences.tsx';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';
import { nameOf, wordTime } from '../words.ts';
import { Body } from './Body.tsx';
import { MessageActions } from './MessageActions.tsx';
import { Quote } from './Quote.tsx';
import { ReadBy, type Reading } from './ReadBy.tsx';
import { Reactions } from './Reactions.tsx';

/** What the menu of a message begins. */
export type Doing = 'reply' | 'edit' | 'unread';

interface Props {
  message: Message;
  /** Said by the viewer. */
  own: boolean;
  /** By the same as the message above, soon after: the name need not stand there again. */
  follows: boolean;
  /** Who has read it, for the newest of the viewer's that others have read. */
  reading: Reading | null;
  /** Tab stops at its menu. */
  current: boolean;
  /** A link leads to this message. */
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
      className="message"
      id={`message-${message.number}`}
      tabIndex={-1}
      data-target={target || undefined}
      data-own={own || undefined}
      data-follows={follows || undefined}
    >
      {!own && !follows && <Avatar name={name} seed={message.sender?.username ?? ''} />}
      <div className="bubble-line">
        <div className="bubble">
          <span className={own || follows ? 'hidden' : 'sender'}>
            <bdi>{own ? 'You' : name}</bdi>
          </span>
          {message.replyTo && !deleted && <Quote message={message.replyTo} />}
          {deleted ? <p className="body deleted">Message deleted</p> : <Body text={message.body ?? ''} />}
          <span className="stamp">
            {message.editedAt && !deleted && 'edited '}
            <time dateTime={message.createdAt}>{wordTime(message.createdAt)}</time>
          </span>
        </div>
        {!deleted && <MessageActions {...{ message, own, current, mayDelete, onDo }} />}
      </div>
      {!deleted && <Reactions message={message} />}
      {reading && <ReadBy reading={reading} />}
    </li>
  );
});
