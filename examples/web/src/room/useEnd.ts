import { type RefObject, useEffect, useState } from 'react';

/** Distance from the end, in pixels, up to which the box counts as scrolled to its end. */
const NEAR_PX = 60;

/** Returns whether a box with `column-reverse` is scrolled to its end, which is scroll position 0. */
export function useEnd(box: RefObject<HTMLElement | null>, onChange: (atEnd: boolean) => void) {
  const [atEnd, setAtEnd] = useState(true);
  useEffect(() => {
    const element = box.current;
    const update = () => setAtEnd(Math.abs(element?.scrollTop ?? 0) < NEAR_PX);
    element?.addEventListener('scroll', update, { passive: true });
    return () => element?.removeEventListener('scroll', update);
  }, [box]);
  useEffect(() => onChange(atEnd), [atEnd]);
  return {
    atEnd,
    goToEnd: () => {
      if (box.current) box.current.scrollTop = 0;
    },
  };
}
