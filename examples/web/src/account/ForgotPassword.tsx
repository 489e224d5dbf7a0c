import { useState } from 'react';
import { RequestPasswordResetDocument } from '../../generated/graphql.ts';
import { Field } from '../parts/Field.tsx';
import { textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';

export function ForgotPassword() {
  const [sent, setSent] = useState(false);
  const { run, busy, problem } = useAction(async (email: string) => {
    await ask(RequestPasswordResetDocument, { email });
    setSent(true);
  });
  if (sent) return <p role="status">If an account has this address, we have sent it an e-mail with a link.</p>;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void run(textOf(new FormData(event.currentTarget), 'email'));
      }}
    >
      <Field label="E-mail address of your account" name="email" type="email" autoComplete="email" required />
      <Problem text={problem} />
      <button className="primary" aria-disabled={busy}>
        Send me a link
      </button>
    </form>
  );
}
