import { useState } from 'react';
import { ResetPasswordDocument } from '../../generated/graphql.ts';
import { textOf } from '../parts/form.ts';
import { Mark } from '../parts/Mark.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';
import { NewPassword } from './NewPassword.tsx';

/** The page that an e-mail's link opens to set a new password. */
export function ResetPassword({ token, onDone }: { token: string; onDone: () => void }) {
  const [done, setDone] = useState(false);
  const { run, busy, problem } = useAction(async (newPassword: string) => {
    await ask(ResetPasswordDocument, { token, newPassword });
    setDone(true);
  });
  return (
    <main className="account">
      <h1>
        <Mark />
        Parley
      </h1>
      <section className="card" aria-labelledby="form-heading">
        <h2 id="form-heading">Set a new password</h2>
        {done ? (
          <p role="status">Your password is set. All your sessions have ended.</p>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void run(textOf(new FormData(event.currentTarget), 'password'));
            }}
          >
            <NewPassword label="New password" />
            <Problem text={problem} />
            <button className="primary" aria-disabled={busy}>
              Set password
            </button>
          </form>
        )}
        <p className="account-ways">
          <button type="button" className="link" onClick={onDone}>
            {done ? 'Sign in' : 'Cancel'}
          </button>
        </p>
      </section>
    </main>
  );
}
