import { type FocusEvent, type ReactNode, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
import { place } from './place.ts';

/** Time that the pointer must rest on the opener before the tip opens, so that a passing pointer opens nothing. */
const HOVER_MS = 250;
/** Time that the pointer may take to move from the opener to the tip before the tip closes. */
const LEAVE_MS = 120;

interface Props {
  /** Returns the content of the tip. Called when the tip opens. */
  content: () => ReactNode;
  /** Returns the opener, which uses `tipId` as its `aria-describedby`. The id is undefined while the tip is closed. */
  children: (tipId: string | undefined) => ReactNode;
}

/** Shows a tip while an element has the focus or the pointer. Escape closes the tip (WCAG 2.2, 1.4.13). */
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

/** The tip itself, in the top layer, where no scroll container clips it. */
function Bubble({ id, children }: { id: string; children: ReactNode }) {
  const ref = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const bubble = ref.current;
    const opener = bubble?.parentElement?.firstElementChild;
    if (!bubble || !opener) return undefined;
    bubble.showPopover();
    // Content that loads later changes the size of the tip.
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
