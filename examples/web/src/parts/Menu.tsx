import { type ReactNode, useEffect, useLayoutEffect, useRef } from 'react';
import { place } from './place.ts';

/**
 * A menu beside the button that opened it. It is in the top layer, so that no scroll container clips it, and is
 * positioned inside the window.
 *
 * @param onClose called when the user clicks outside, presses Escape or scrolls
 */
export function Menu({
  opener,
  label,
  onClose,
  children,
}: {
  opener: HTMLElement | null;
  label: string;
  onClose: () => void;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const menu = ref.current;
    if (!menu || !opener) return;
    // With `source`, a click on the opener counts as a click inside the menu.
    menu.showPopover({ source: opener });
    place(menu, opener, 'right');
  }, [opener]);
  useEffect(() => {
    addEventListener('scroll', onClose, { capture: true, once: true, passive: true });
    return () => removeEventListener('scroll', onClose, { capture: true });
  }, []);
  return (
    <div
      ref={ref}
      popover="auto"
      className="menu"
      role="group"
      aria-label={label}
      onToggle={(event) => {
        if (event.newState === 'closed') onClose();
      }}
    >
      {children}
    </div>
  );
}
