import { useOutbox } from '@parley/client/react';
import { wordFailure } from '../errors.ts';
import { Icon } from '../parts/Icon.tsx';
import type { Message, Pending } from '../types.ts';
import { Body } from './Body.tsx';
import { Quote } from './Quote.tsx';

/** A message that is being sent or was rejected by the server. */
export function PendingRow({ entry, replyTo }: { entry: Pending; replyTo: Message | undefined }) {
  const { retry, discard } = useOutbox();
  const { error, attachmentIds: { length: files } = [] } = entry;
  return (
    <li className="message" data-own data-pending={error === null || undefined}>
      <div className="bubble-line">
        <div className="bubble">
          <span className="hidden">You</span>
          {replyTo && <Quote message={replyTo} />}
          {files > 0 && (
            <p className="sent-files">
              <Icon name="attach" /> {files === 1 ? '1 file' : `${files} files`}
            </p>
          )}
          {entry.body !== '' && <Body text={entry.body} />}
          <span className="stamp">{error === null ? 'sending…' : 'not sent'}</span>
        </div>
      </div>
      {error !== null && (
        <p className="not-sent" role="alert">
          {wordFailure(error)}{' '}
          <button type="button" className="link" onClick={() => retry(entry.clientMessageId)}>
            Try again
          </button>{' '}
          <button type="button" className="link" onClick={() => discard(entry.clientMessageId)}>
            Discard
          </button>
        </p>
      )}
    </li>
  );
}
