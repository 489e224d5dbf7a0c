import { useSession } from '../session.ts';
import { Body } from './Body.tsx';
import type { Pending } from './outbox.ts';
import { Quote } from './Quote.tsx';

/** A message on its way, or one that the server did not take. */
export function PendingRow({ entry }: { entry: Pending }) {
  const { outbox } = useSession();
  return (
    <li className="message" data-own data-pending={entry.problem === null || undefined}>
      <div className="bubble-line">
        <div className="bubble">
          <span className="hidden">You</span>
          {entry.replyTo && <Quote message={entry.replyTo} />}
          <Body text={entry.body} />
          <span className="stamp">{entry.problem === null ? 'sending…' : 'not sent'}</span>
        </div>
      </div>
      {entry.problem !== null && (
        <p className="not-sent" role="alert">
          {entry.problem}{' '}
          <button type="button" className="link" onClick={() => outbox.retry(entry)}>
            Try again
          </button>{' '}
          <button type="button" className="link" onClick={() => outbox.discard(entry.clientMessageId)}>
            Discard
          </button>
        </p>
      )}
    </li>
  );
}
