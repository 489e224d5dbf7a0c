import type { CSSProperties } from 'react';

const graphemes = new Intl.Segmenter();

/** The first letter on a colour of its own, and a dot for who is online. Names stand beside it: it is decoration. */
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

/** Golden-angle steps keep the colours of similar names apart. */
function hueOf(seed: string): number {
  let sum = 0;
  for (const char of seed) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return Math.round((sum * 137.508) % 360);
}
