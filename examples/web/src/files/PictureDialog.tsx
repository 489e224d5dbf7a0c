import { useEffect, useState } from 'react';
import { Dialog } from '../parts/Dialog.tsx';
import { Icon } from '../parts/Icon.tsx';
import type { Attachment } from '../types.ts';
import { Picture, shapeOf } from './Picture.tsx';

export type ReadyPicture = Attachment & { image: NonNullable<Attachment['image']> };

interface Props {
  pictures: readonly ReadyPicture[];
  /** Id of the picture that is shown first. */
  first: string;
  onClose: () => void;
}

/** Shows one picture of a message at a time. The left and right arrow keys move between them. */
export function PictureDialog({ pictures, first, onClose }: Props) {
  const [shown, setShown] = useState(first);
  const at = Math.max(
    0,
    pictures.findIndex(({ id }) => id === shown),
  );
  const picture = pictures[at];
  const move = (by: number) => {
    const next = pictures[at + by];
    if (next) setShown(next.id);
  };
  useEffect(() => {
    const onKeyDown = ({ key }: KeyboardEvent) => {
      if (key === 'ArrowLeft') move(-1);
      if (key === 'ArrowRight') move(1);
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });
  if (!picture) return null;
  const { id, fileName, url, image } = picture;
  const place = `${at + 1} of ${pictures.length}`;
  return (
    <Dialog
      className="viewer"
      title={fileName}
      onClose={onClose}
      actions={
        url !== null && (
          <a
            className="icon-button"
            href={url}
            download={fileName}
            target="_blank"
            rel="noreferrer"
            aria-label="Download"
            title="Download"
          >
            <Icon name="download" />
          </a>
        )
      }
    >
      <div className="viewed" style={shapeOf(image)}>
        <Picture key={id} image={image} name={fileName} />
      </div>
      {pictures.length > 1 && (
        <p className="viewer-place">
          <button
            type="button"
            className="icon-button"
            aria-label="Previous picture"
            aria-disabled={at === 0}
            onClick={() => move(-1)}
          >
            <Icon name="back" />
          </button>
          <span role="status">
            <span className="hidden">{fileName}, </span>
            {place}
          </span>
          <button
            type="button"
            className="icon-button"
            aria-label="Next picture"
            aria-disabled={at === pictures.length - 1}
            onClick={() => move(1)}
          >
            <Icon name="next" />
          </button>
        </p>
      )}
    </Dialog>
  );
}
