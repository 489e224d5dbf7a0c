import { useState } from 'react';
import { Icon } from '../parts/Icon.tsx';
import type { Attachment } from '../types.ts';
import { wordDuration, wordRejection, wordSize } from '../words.ts';
import { Picture, shapeOf } from './Picture.tsx';
import { type ReadyPicture, PictureDialog } from './PictureDialog.tsx';

/** Maximum number of pictures that a message shows. The dialog shows the others. */
const MAX_SHOWN = 4;

/** Limits of the ratio of a single picture, so that a panorama can be seen and clicked. */
const SINGLE_RATIOS = [0.6, 2.5] as const;
/** Size of a picture that is being processed. */
const UNKNOWN_SIZE = { width: 320, height: 240 };

interface Props {
  attachments: readonly Attachment[];
  /** Whether the viewer sent the message. */
  own: boolean;
  /** Whether the Tab key reaches the files. */
  current: boolean;
}

/** The pictures and files of a message. */
export function Attachments({ attachments, own, current }: Props) {
  const pictures = attachments.filter(isPicture);
  const files = attachments.filter((each) => !isPicture(each));
  return (
    <>
      {pictures.length > 0 && <Pictures pictures={pictures} tabIndex={current ? 0 : -1} />}
      {files.length > 0 && (
        <ul className="files" aria-label="Files">
          {files.map((each) => (
            <FileRow key={each.id} file={each} own={own} tabIndex={current ? 0 : -1} />
          ))}
        </ul>
      )}
    </>
  );
}

/** Returns whether an attachment is a picture that can be shown, or that is being processed. */
const isPicture = ({ state, mediaType, image }: Attachment) =>
  state === 'PROCESSING' ? mediaType.startsWith('image/') : image !== null;

/** The pictures of a message in a grid. They reserve their space, so that the history does not move when they are loaded. */
function Pictures({ pictures, tabIndex }: { pictures: readonly Attachment[]; tabIndex: number }) {
  const [open, setOpen] = useState<string | null>(null);
  const ready = pictures.filter((each): each is ReadyPicture => each.image !== null);
  const shown = pictures.slice(0, MAX_SHOWN);
  const others = pictures.length - shown.length;
  return (
    <>
      <ul
        className="pictures"
        aria-label="Pictures"
        data-count={shown.length}
        style={pictures.length === 1 ? shapeOf(pictures[0]?.image ?? UNKNOWN_SIZE, SINGLE_RATIOS) : undefined}
      >
        {shown.map((picture, i) => (
          <li key={picture.id}>
            {picture.image ? (
              <button
                type="button"
                tabIndex={tabIndex}
                aria-label={`View ${picture.fileName}${others > 0 && i === MAX_SHOWN - 1 ? ` and ${others} more` : ''}`}
                onClick={() => setOpen(picture.id)}
              >
                <Picture
                  image={picture.image}
                  thumbnail={picture.thumbnail}
                  name={picture.fileName}
                  sizes={pictures.length === 1 ? 'min(22rem, 90vw)' : 'min(11rem, 45vw)'}
                />
                {others > 0 && i === MAX_SHOWN - 1 && <span className="more-pictures">+{others}</span>}
              </button>
            ) : (
              <span className="processing">
                <span className="hidden">{picture.fileName}</span>
                Being checked…
              </span>
            )}
          </li>
        ))}
      </ul>
      {open !== null && <PictureDialog pictures={ready} first={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function FileRow({ file, own, tabIndex }: { file: Attachment; own: boolean; tabIndex: number }) {
  const { fileName, byteSize, durationMs, state, rejection, url } = file;
  const content = (
    <>
      <span className="file-icon">
        <Icon name="file" />
      </span>
      <span className="file-names">
        <strong dir="auto" title={fileName}>
          {fileName}
        </strong>
        <small className={own && state === 'REJECTED' ? 'problem' : 'quiet'}>
          {state === 'READY'
            ? `${durationMs == null ? '' : `${wordDuration(durationMs)}, `}${wordSize(byteSize)}`
            : state === 'PROCESSING'
              ? 'Being checked…'
              : own
                ? wordRejection(rejection)
                : 'This file was refused.'}
        </small>
      </span>
    </>
  );
  return (
    <li>
      {url === null ? (
        <span className="file">{content}</span>
      ) : (
        // A store of another origin opens pictures in place of saving them, so they must not replace the page.
        <a className="file" href={url} download={fileName} target="_blank" rel="noreferrer" tabIndex={tabIndex}>
          <span className="hidden">Download </span>
          {content}
          <Icon name="download" />
        </a>
      )}
    </li>
  );
}
