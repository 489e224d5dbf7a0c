import { useState } from 'react';
import { VerifyEmailDocument } from '../../generated/graphql.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';

const WORDS = {
  confirm: {
    // Anybody can enter the address of someone else for their account. Opening the link must not be enough to confirm
    // it.
    question: 'Confirm your e-mail address? Only do so if the account named in the e-mail is yours.',
    yes: 'Confirm',
    done: 'Your e-mail address is confirmed.',
  },
  restore: {
    question:
      'Restore your former e-mail address? This signs you out everywhere, and we send you a link to set a new password.',
    yes: 'Restore',
    done: 'Your address is restored. We have sent it an e-mail with a link to set a new password.',
  },
};

/**
 * Confirms an e-mail address, or restores a former one, after the user has agreed. The link in an e-mail opens this
 * page. It works signed in and signed out.
 */
export function VerifyEmail({ token, kind }: { token: string; kind: keyof typeof WORDS }) {
  const [state, setState] = useState<'asking' | 'done' | 'closed'>('asking');
  const { run, busy, problem } = useAction(async () => {
    await ask(VerifyEmailDocument, { token });
    setState('done');
  });
  if (state === 'closed') return null;
  const words = WORDS[kind];
  return (
    <div className="notice question">
      <p role="status">{state === 'done' ? words.done : words.question}</p>
      <Problem text={problem} />
      {state === 'asking' && (
        <button type="button" className="primary" aria-disabled={busy} onClick={() => void run()}>
          {words.yes}
        </button>
      )}
      <button type="button" className="link" onClick={() => setState('closed')}>
        {state === 'done' ? 'Dismiss' : 'Not now'}
      </button>
    </div>
  );
}
