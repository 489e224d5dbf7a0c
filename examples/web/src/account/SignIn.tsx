import { SignInDocument } from '../../generated/graphql.ts';
import { Field } from '../parts/Field.tsx';
import { textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';

export function SignIn({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { run, busy, problem } = useAction(async (form: FormData) => {
    await ask(SignInDocument, {
      input: { usernameOrEmail: textOf(form, 'name'), password: textOf(form, 'password'), cookie: true },
    });
    await onSignedIn();
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void run(new FormData(event.currentTarget));
      }}
    >
      <Field label="Username or e-mail address" name="name" autoComplete="username" autoCapitalize="none" required />
      <Field label="Password" name="password" type="password" autoComplete="current-password" required />
      <Problem text={problem} />
      <button className="primary" aria-disabled={busy}>
        Sign in
      </button>
    </form>
  );
}
