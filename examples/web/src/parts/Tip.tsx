import { type FocusEvent, type ReactNode, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
import { place } from './place.ts';

/** How long the pointer rests on the opener before the tip shows, in milliseconds. A pointer that passes by opens nothing. */
const HOVER_MS = 250;
/** How long the pointer may be on its way from the opener to the tip, in milliseconds. */
const LEAVE_MS = 120;

interface Props {
  /** Called when the tip shows. */
  content: () => ReactNode;
  /** The element with the tip, which is given the id of the tip to be described by. */
  children: (tipId: string | undefined) => ReactNode;
}

/** Shows more about an element while it has the focus or the pointer. Escape closes the tip (WCAG 2.2, 1.4.13). */
export function Tip({ content, children }: Props) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const wait = (next: boolean) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setOpen(next), next ? HOVER_MS : LEAVE_MS);
  };
  const turn = (next: boolean) => {
    clearTimeout(timer.current);
    setOpen(next);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    if (!open) return undefined;
    const close = () => setOpen(false);
    addEventListener('scroll', close, { capture: true, once: true, passive: true });
    return () => removeEventListener('scroll', close, { capture: true });
  }, [open]);
  return (
    <span
      className="with-tip"
      onPointerEnter={() => wait(true)}
      onPointerLeave={() => wait(false)}
      onFocus={() => turn(true)}
      onBlur={(event: FocusEvent) => {
        if (!event.currentTarget.contains(event.relatedTarget)) turn(false);
      }}
      onKeyDown={({ key }) => {
        if (key === 'Escape') turn(false);
      }}
    >
      {children(open ? id : undefined)}
      {open && <Bubble id={id}>{content()}</Bubble>}
    </span>
  );
}

/** Lies in the top layer, where no scroll container clips it. */
function Bubble({ id, children }: { id: string; children: ReactNode }) {
  const ref = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const bubble = ref.current;
    const opener = bubble?.parentElement?.firstElementChild;
    if (!bubble || !opener) return undefined;
    bubble.showPopover();
    // The content may come later, and change its size.
    const observer = new ResizeObserver(() => place(bubble, opener, 'left'));
    observer.observe(bubble);
    place(bubble, opener, 'left');
    return () => observer.disconnect();
  }, []);
  return (
    <span ref={ref} id={id} popover="manual" role="tooltip" className="tip">
      {children}
    </span>
  );
}
