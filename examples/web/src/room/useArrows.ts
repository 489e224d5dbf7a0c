import { type FocusEvent, type KeyboardEvent, useState } from 'react';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';

/**
 * Moves the focus between messages with the arrow keys. The Tab key reaches only the menu of the current message, so
 * that keyboard users pass a long history with one key press (WAI-ARIA, roving tabindex).
 */
export function useArrows(messages: readonly Pick<Message, 'id' | 'number' | 'kind' | 'deletedAt'>[]) {
  const [moved, setMoved] = useState<number | null>(null);
  const { removed } = useToasts();
  // A deleted message and a system message have no menu. As the current message they would keep Tab out of the history.
  const withMenu = messages.filter(({ id, kind, deletedAt }) => kind === 'USER' && !deletedAt && !removed.has(id));
  return {
    /** Number of the message whose menu the Tab key reaches. The newest one that has a menu, until the focus has moved. */
    current: (withMenu.find(({ number }) => number === moved) ?? withMenu.at(-1))?.number,
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
