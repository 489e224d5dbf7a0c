import { type ReactNode, useId, useLayoutEffect, useRef } from 'react';
import { Icon } from './Icon.tsx';

/**
 * A modal dialog. The browser's own keeps the focus inside, closes at Escape, and gives the focus back to what had it.
 *
 * @param onClose is to take it out of the page
 */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    // Rather than the button that closes it; on a touch screen the keyboard would cover half of it.
    if (matchMedia('(pointer: fine)').matches) dialog?.querySelector<HTMLElement>('.dialog-body input')?.focus();
    // Taken out of the page without being closed, it would not give the focus back. A layout effect ends before that.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => {
        // Only the backdrop is the dialog itself: all else lies in its inner box.
        if (event.target === ref.current) ref.current.close();
      }}
    >
      <div className="dialog">
        <header className="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" className="icon-button" aria-label="Close" onClick={() => ref.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        <div className="dialog-body">{children}</div>
      </div>
    </dialog>
  );
}
