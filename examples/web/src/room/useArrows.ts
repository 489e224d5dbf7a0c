import { type FocusEvent, type KeyboardEvent, useState } from 'react';
import type { Message } from '../types.ts';

/**
 * Moves the focus between messages with the arrow keys. The Tab key reaches only the menu of the current message, so
 * that keyboard users pass a long history with one key press (WAI-ARIA, roving tabindex).
 */
export function useArrows(messages: readonly Pick<Message, 'number'>[]) {
  const newest = messages.at(-1)?.number;
  const [moved, setMoved] = useState<number | null>(null);
  return {
    /** Number of the message whose menu the Tab key reaches. */
    current: messages.some(({ number }) => number === moved) ? moved : newest,
    onFocus: ({ target }: FocusEvent<HTMLElement>) => {
      const number = numberOf(rowOf(target));
      if (number !== null) setMoved(number);
    },
    onKeyDown: (event: KeyboardEvent<HTMLElement>) => {
      const { key, target, currentTarget } = event;
      if ((key !== 'ArrowUp' && key !== 'ArrowDown') || (target as Element).closest('.menu, dialog')) return;
      event.preventDefault();
      const rows = [...currentTarget.querySelectorAll<HTMLElement>('li[id]')];
      const at = rows.findIndex((row) => row === rowOf(target as Element));
      const row = at < 0 ? rows.at(-1) : rows[at + (key === 'ArrowUp' ? -1 : 1)];
      row?.focus({ preventScroll: true });
      row?.scrollIntoView({ block: 'nearest' });
    },
  };
}

const rowOf = (element: Element) => element.closest<HTMLElement>('li[id]');

function numberOf(row: HTMLElement | null): number | null {
  return row && Number(row.id.slice('message-'.length));
}
