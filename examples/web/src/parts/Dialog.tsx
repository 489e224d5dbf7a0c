import { type ReactNode, useId, useLayoutEffect, useRef } from 'react';
import { Icon } from './Icon.tsx';

interface Props {
  title: string;
  className?: string;
  /** Buttons beside the title. */
  actions?: ReactNode;
  /** Must remove the dialog from the page. */
  onClose: () => void;
  children: ReactNode;
}

/** A modal dialog. The native element traps the focus, closes on Escape, and restores the focus. */
export function Dialog({ title, className, actions, onClose, children }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    // Focuses the first input instead of the close button. Not on a touch screen, where the keyboard would cover half
    // the dialog.
    if (matchMedia('(pointer: fine)').matches) dialog?.querySelector<HTMLElement>('.dialog-body input')?.focus();
    // Only a closed dialog restores the focus. The cleanup of a layout effect runs before the element is removed.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      className={className}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => {
        // A click whose target is the dialog itself is on the backdrop, because the inner box covers the rest.
        if (event.target === ref.current) ref.current.close();
      }}
    >
      <div className="dialog">
        <header className="dialog-head">
          <h2 id={heading}>{title}</h2>
          {actions}
          <button type="button" className="icon-button" aria-label="Close" onClick={() => ref.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        <div className="dialog-body">{children}</div>
      </div>
    </dialog>
  );
}
