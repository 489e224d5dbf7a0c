/** Distance from the edges of the window, in pixels. */
const MARGIN = 8;

/**
 * Moves a popover above its opener, or below it if there is no space, and into the window.
 *
 * @param align the edge that the popover shares with its opener
 */
export function place(popover: HTMLElement, opener: Element, align: 'left' | 'right'): void {
  const { width, height } = popover.getBoundingClientRect();
  const { top, bottom, left, right } = opener.getBoundingClientRect();
  const start = align === 'left' ? left : right - width;
  const highest = Math.max(MARGIN, innerHeight - height - MARGIN);
  popover.style.left = `${Math.max(MARGIN, Math.min(start, innerWidth - width - MARGIN))}px`;
  popover.style.top = `${top - height >= MARGIN ? top - height : Math.min(bottom, highest)}px`;
}
