import { type ReactNode, useEffect } from 'react';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';

interface Props {
  /** Name of the action, such as "Suspend ann". */
  title: string;
  /** Consequences of the action. */
  children: ReactNode;
  onClose: () => void;
  /** Acts. The dialog closes when the promise resolves. */
  act: (reason: string, form: FormData) => Promise<unknown>;
  /** Fields besides the reason. */
  fields?: ReactNode;
}

/** Asks for the reason of an action. The server keeps it in the audit log. */
export function ReasonDialog({ title, children, onClose, act, fields }: Props) {
  const { run, busy, problem } = useAction(async (form: FormData) => {
    await act(textOf(form, 'reason'), form);
    onClose();
  });
  // The action may have removed the row with the button that opened the dialog, to which the dialog restores the focus.
  useEffect(
    () => () => {
      if (document.activeElement === document.body) document.querySelector<HTMLElement>('main h2')?.focus();
    },
    [],
  );
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run(new FormData(event.currentTarget));
        }}
      >
        <p>{children}</p>
        {fields}
        <Field label="Reason" name="reason" hint="Kept in the audit log." maxLength={500} required />
        <Problem text={problem} />
        <button className="primary" aria-disabled={busy}>
          {title}
        </button>
      </form>
    </Dialog>
  );
}
