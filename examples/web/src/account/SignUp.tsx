import { SignUpDocument } from '../../generated/graphql.ts';
import { Field } from '../parts/Field.tsx';
import { optionalTextOf, textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { ask } from '../session.ts';
import { NewPassword } from './NewPassword.tsx';

export function SignUp({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { run, busy, problem } = useAction(async (form: FormData) => {
    await ask(SignUpDocument, {
      input: {
        username: textOf(form, 'username'),
        nickname: optionalTextOf(form, 'nickname'),
        email: optionalTextOf(form, 'email'),
        password: textOf(form, 'password'),
        cookie: true,
      },
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
      <Field
        label="Username"
        name="username"
        hint="3 to 32 letters, digits or _ . -"
        autoComplete="username"
        autoCapitalize="none"
        required
      />
      <Field label="Display name (optional)" name="nickname" autoComplete="nickname" />
      <Field
        label="E-mail address (optional)"
        name="email"
        type="email"
        autoComplete="email"
        hint="Needed if you forget your password."
      />
      <NewPassword label="Password" />
      <Problem text={problem} />
      <button className="primary" aria-disabled={busy}>
        Sign up
      </button>
    </form>
  );
}
