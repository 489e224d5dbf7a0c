import type { CSSProperties } from 'react';

const graphemes = new Intl.Segmenter();

/**
 * The first letter of a name on a colour, with a dot if the user is online. Hidden from screen readers, which read the
 * name.
 */
export function Avatar({ name, seed, online = false }: { name: string; seed: string; online?: boolean }) {
  const [first] = graphemes.segment(name);
  return (
    <span
      className="avatar"
      aria-hidden="true"
      data-online={online || undefined}
      style={{ '--hue': hueOf(seed) } as CSSProperties}
    >
      {first?.segment.toUpperCase() ?? '?'}
    </span>
  );
}

/** Returns the hue for a seed. Multiples of the golden angle give similar names different colours. */
function hueOf(seed: string): number {
  let sum = 0;
  for (const char of seed) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return Math.round((sum * 137.508) % 360);
}
