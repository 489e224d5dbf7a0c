import type { Message } from '../types.ts';
import { nameOf, wordContent } from '../words.ts';

/** The message to which another one replies, in one line. */
export function Quote({
  message,
}: {
  message: Pick<NonNullable<Message['replyTo']>, 'sender' | 'body' | 'deletedAt' | 'attachments'>;
}) {
  return (
    <blockquote className="quote">
      <strong>
        <bdi>{nameOf(message.sender)}</bdi>
      </strong>
      <span dir="auto">{message.deletedAt ? 'Message deleted' : wordContent(message)}</span>
    </blockquote>
  );
}
