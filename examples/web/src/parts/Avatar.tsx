import { type CSSProperties, useState } from 'react';

const graphemes = new Intl.Segmenter();

interface Props {
  name: string;
  /** Determines the colour. */
  seed: string;
  image?: { url: string } | null | undefined;
  online?: boolean;
}

/**
 * The picture of a user or a room, or the first letter of the name on a colour, with a dot if the user is online. Hidden
 * from screen readers, which read the name.
 */
export function Avatar({ name, seed, image, online = false }: Props) {
  const [first] = graphemes.segment(name);
  // A picture that has just been replaced is no longer served.
  const [missing, setMissing] = useState<string | null>(null);
  return (
    <span
      className="avatar"
      aria-hidden="true"
      data-online={online || undefined}
      style={{ '--hue': hueOf(seed) } as CSSProperties}
    >
      {first?.segment.toUpperCase() ?? '?'}
      {image && image.url !== missing && (
        <img src={image.url} alt="" draggable={false} loading="lazy" onError={() => setMissing(image.url)} />
      )}
    </span>
  );
}

/** Returns the hue for a seed. Multiples of the golden angle give similar names different colours. */
function hueOf(seed: string): number {
  let sum = 0;
  for (const char of seed) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return Math.round((sum * 137.508) % 360);
}
