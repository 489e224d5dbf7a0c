import { Field } from '../parts/Field.tsx';

/** The field for a new password. */
export function NewPassword({ label }: { label: string }) {
  return (
    <Field
      label={label}
      name="password"
      type="password"
      hint="At least 8 characters"
      autoComplete="new-password"
      minLength={8}
      required
    />
  );
}
