import { type RefObject, useEffect, useState } from 'react';

/** So near the end counts as being there. */
const NEAR_PX = 60;

/** Whether a box that is laid out from its end (column-reverse) shows its end, where it is scrolled to 0. */
export function useEnd(box: RefObject<HTMLElement | null>, onChange: (atEnd: boolean) => void) {
  const [atEnd, setAtEnd] = useState(true);
  useEffect(() => {
    const element = box.current;
    const look = () => setAtEnd(Math.abs(element?.scrollTop ?? 0) < NEAR_PX);
    element?.addEventListener('scroll', look, { passive: true });
    return () => element?.removeEventListener('scroll', look);
  }, [box]);
  useEffect(() => onChange(atEnd), [atEnd]);
  return {
    atEnd,
    goToEnd: () => {
      if (box.current) box.current.scrollTop = 0;
    },
  };
}
