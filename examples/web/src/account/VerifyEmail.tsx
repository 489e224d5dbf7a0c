import { useState } from 'react';
import { VerifyEmailDocument } from '../../generated/graphql.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';

const WORDS = {
  confirm: {
    // Anybody may have given their account this address: opening the link alone must not confirm it for them.
    question: 'Confirm your e-mail address? Only do so if the account that the mail names is yours.',
    yes: 'Confirm it',
    done: 'Your e-mail address is confirmed.',
  },
  restore: {
    question:
      'Restore your former e-mail address, end all sessions of your account, and get a mail to set a new password?',
    yes: 'Restore it',
    done: 'Your address is restored. A mail with a link to set a new password is on its way to it.',
  },
};

/** Asks before it uses the link of a mail that confirms an address, or restores a former one, signed in or not. */
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
