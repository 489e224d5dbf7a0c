import { type CSSProperties, useLayoutEffect, useRef, useState } from 'react';
import { thumbHashToRGBA } from 'thumbhash';
import type { Attachment } from '../types.ts';

interface Props {
  image: NonNullable<Attachment['image']>;
  thumbnail?: Attachment['thumbnail'];
  name: string;
  /** Displayed width, as the attribute `sizes` of an image. */
  sizes?: string;
}

/** An image with the space that it needs. Until it is loaded, shows its blurred placeholder. */
export function Picture({ image: { url, width, height, thumbHash }, thumbnail, name, sizes }: Props) {
  const [loaded, setLoaded] = useState(false);
  return (
    <>
      {!loaded && <Placeholder thumbHash={thumbHash} />}
      <img
        // A dragged image would count as a file that is dropped on the room.
        draggable={false}
        src={url}
        srcSet={
          thumbnail && thumbnail.width < width ? `${thumbnail.url} ${thumbnail.width}w, ${url} ${width}w` : undefined
        }
        {...{ sizes, width, height }}
        alt={name}
        loading="lazy"
        decoding="async"
        onLoad={() => setLoaded(true)}
      />
    </>
  );
}

/** Returns custom properties with the shape of an image. `limits` are the limits of the ratio of width to height. */
export function shapeOf(
  { width, height }: { width: number; height: number },
  [min, max]: readonly [number, number] = [0, Infinity],
): CSSProperties {
  const ratio = Math.min(max, Math.max(min, width / height));
  return { '--ratio': ratio, '--width': `${width}px` } as CSSProperties;
}

/** A blurred placeholder. A canvas, because the page's content security policy allows no data: URLs. */
function Placeholder({ thumbHash }: { thumbHash: string }) {
  const ref = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const canvas = ref.current;
    if (!canvas) return;
    const bytes = Uint8Array.from(atob(thumbHash), (char) => char.charCodeAt(0));
    const { w, h, rgba } = thumbHashToRGBA(bytes);
    [canvas.width, canvas.height] = [w, h];
    canvas.getContext('2d')?.putImageData(new ImageData(new Uint8ClampedArray(rgba), w, h), 0, 0);
  }, [thumbHash]);
  return <canvas ref={ref} className="placeholder" aria-hidden="true" />;
}
