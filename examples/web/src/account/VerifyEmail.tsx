import { useEffect, useState } from 'react';
import { VerifyEmailDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { ask } from '../session.ts';

/** Uses the link of a mail that proves an address, signed in or not. */
export function VerifyEmail({ token }: { token: string }) {
  const [answer, setAnswer] = useState<string | null>('Confirming your e-mail address…');
  useEffect(() => {
    ask(VerifyEmailDocument, { token }).then(
      () => setAnswer('Your e-mail address is confirmed.'),
      (error: unknown) => setAnswer(wordError(error)),
    );
  }, [token]);
  if (answer === null) return null;
  return (
    <p className="notice" role="status">
      {answer}
      <button type="button" className="link" onClick={() => setAnswer(null)}>
        Dismiss
      </button>
    </p>
  );
}
