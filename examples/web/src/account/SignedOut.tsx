import { useEffect, useRef, useState } from 'react';
import { DEMO_PASSWORD, DEMO_PEOPLE } from '../../../../src/server/demo/people.ts';
import { SignInDocument, SignUpPolicyDocument } from '../../generated/graphql.ts';
import { Avatar } from '../parts/Avatar.tsx';
import { Mark } from '../parts/Mark.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';
import { ForgotPassword } from './ForgotPassword.tsx';
import { SignIn } from './SignIn.tsx';
import { SignUp } from './SignUp.tsx';

/** Whether the server offers demo users, whose password is public. It then sets `data-demo` in the page. */
const hasDemo = document.documentElement.dataset['demo'] !== undefined;

const FORMS = { signIn: 'Sign in', signUp: 'Sign up', forgot: 'Reset password' } as const;

export function SignedOut({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const [form, setForm] = useState<keyof typeof FORMS>('signIn');
  const card = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const allowsSignUp = useAllowsSignUp();
  // The pressed button was removed with the previous form, so the focus moves to the new one.
  useEffect(() => {
    if (!isFirst.current) card.current?.querySelector('input')?.focus();
    isFirst.current = false;
  }, [form]);
  return (
    <main className="account">
      <h1>
        <Mark />
        Parley
      </h1>
      {hasDemo && form === 'signIn' && <DemoPeople onSignedIn={onSignedIn} />}
      <section ref={card} className="card" aria-labelledby="form-heading">
        <h2 id="form-heading">{FORMS[form]}</h2>
        {form === 'signIn' && <SignIn onSignedIn={onSignedIn} />}
        {form === 'signUp' && <SignUp onSignedIn={onSignedIn} />}
        {form === 'forgot' && <ForgotPassword />}
        <p className="account-ways">
          {(Object.keys(FORMS) as (keyof typeof FORMS)[])
            .filter((other) => other !== form && (other !== 'signUp' || allowsSignUp))
            .map((other) => (
              <button key={other} type="button" className="link" onClick={() => setForm(other)}>
                {FORMS[other]}
              </button>
            ))}
        </p>
      </section>
    </main>
  );
}

/**
 * Returns whether the server allows sign-up. Returns true until the response arrives, because most servers allow it.
 */
function useAllowsSignUp(): boolean {
  const [isAllowed, setAllowed] = useState(true);
  useEffect(() => {
    ask(SignUpPolicyDocument, {}).then(
      ({ server }) => setAllowed(server?.signUp !== 'OFF'),
      // The error is ignored, because the form reports it when the user sends the form.
      () => undefined,
    );
  }, []);
  return isAllowed;
}

function DemoPeople({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { run, busy, problem } = useAction(async (username: string) => {
    await ask(SignInDocument, { input: { usernameOrEmail: username, password: DEMO_PASSWORD, cookie: true } });
    await onSignedIn();
  });
  return (
    <section className="card" aria-labelledby="demo-heading">
      <h2 id="demo-heading">Try the demo as</h2>
      <ul className="demo-people">
        {DEMO_PEOPLE.filter((person) => !('isBot' in person)).map(({ username, nickname }) => (
          <li key={username}>
            <button type="button" aria-disabled={busy} onClick={() => void run(username)}>
              <Avatar name={nickname} seed={username} />
              <bdi>{nickname}</bdi>
            </button>
          </li>
        ))}
      </ul>
      <Problem text={problem} />
      <p className="quiet">To chat with yourself, sign in as someone else in a private window.</p>
    </section>
  );
}
