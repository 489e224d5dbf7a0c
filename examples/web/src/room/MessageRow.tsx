import { memo } from 'react';
import { Avatar } from '../parts/Avatar.tsx';
import { systemSentence } from '../parts/sentences.tsx';
import type { Message } from '../types.ts';
import { nameOf, wordTime } from '../words.ts';
import { Body } from './Body.tsx';
import { MessageActions } from './MessageActions.tsx';
import { Quote } from './Quote.tsx';
import { Reactions } from './Reactions.tsx';

export type Doing = 'reply' | 'edit';

interface Props {
  message: Message;
  /** Said by the viewer. */
  own: boolean;
  /** By the same as the message above, soon after: the name need not stand there again. */
  follows: boolean;
  /** The newest of the viewer's that everyone has read. */
  seen: boolean;
  mayDelete: boolean;
  onDo: (doing: Doing, message: Message) => void;
}

export const MessageRow = memo(function MessageRow({ message, own, follows, seen, mayDelete, onDo }: Props) {
  if (message.kind === 'SYSTEM')
    return (
      <li className="system" id={`message-${message.number}`}>
        <span>{systemSentence(message)}</span> <time dateTime={message.createdAt}>{wordTime(message.createdAt)}</time>
      </li>
    );
  const name = nameOf(message.sender);
  return (
    <li
      className="message"
      id={`message-${message.number}`}
      data-own={own || undefined}
      data-follows={follows || undefined}
    >
      {!own && !follows && <Avatar name={name} seed={message.sender?.username ?? ''} />}
      <div className="bubble-line">
        <div className="bubble">
          <span className={own || follows ? 'hidden' : 'sender'}>
            <bdi>{own ? 'You' : name}</bdi>
          </span>
          {message.replyTo && !message.deletedAt && <Quote message={message.replyTo} />}
          {message.deletedAt ? <p className="body deleted">Message deleted</p> : <Body text={message.body ?? ''} />}
          <span className="stamp">
            {message.editedAt && !message.deletedAt && 'edited '}
            <time dateTime={message.createdAt}>{wordTime(message.createdAt)}</time>
          </span>
        </div>
        {!message.deletedAt && <MessageActions {...{ message, own, mayDelete, onDo }} />}
      </div>
      <Reactions message={message} />
      {seen && <span className="seen">Seen</span>}
    </li>
  );
});
