import { useEffect, useRef, useState } from 'react';
import { wordFailure } from '../errors.ts';
import { Icon } from '../parts/Icon.tsx';
import { wordRejection, wordSize } from '../words.ts';
import { type PendingFile, stateOf } from './pendingFiles.tsx';

/** Codes with which the server refuses a file each time. */
const FINAL: ReadonlySet<string> = new Set(['BAD_USER_INPUT', 'FORBIDDEN']);

interface Props {
  files: readonly PendingFile[];
  onRemove: (key: string) => void;
  onRetry: (pending: PendingFile) => void;
}

/** The files of the next message, above the text field. */
export function PendingFileList({ files, onRemove, onRetry }: Props) {
  return (
    <>
      <p className="hidden" role="status">
        {wordProgress(files)}
      </p>
      {files.length > 0 && (
        <ul className="pending-files" aria-label="Files to send">
          {files.map((each) => (
            <PendingFileRow key={each.key} pending={each} onRemove={onRemove} onRetry={onRetry} />
          ))}
        </ul>
      )}
    </>
  );
}

function PendingFileRow({ pending, onRemove, onRetry }: Omit<Props, 'files'> & { pending: PendingFile }) {
  const { key, file, sentBytes, attachment, error } = pending;
  const state = stateOf(pending);
  return (
    <li data-state={state}>
      <Thumbnail file={file} />
      <span className="file-names">
        <strong dir="auto" title={file.name}>
          {file.name}
        </strong>
        {state === 'failed' ? (
          <small className="problem" role="alert">
            {error ? wordFailure(error) : wordRejection(attachment?.rejection)}{' '}
            {error && !FINAL.has(error.code) && (
              <button
                type="button"
                className="link"
                aria-label={`Try again: ${file.name}`}
                onClick={() => onRetry(pending)}
              >
                Try again
              </button>
            )}
          </small>
        ) : (
          <small className="quiet">
            {state === 'uploading' && sentBytes === file.size ? 'Being checked…' : wordSize(file.size)}
          </small>
        )}
        {state === 'uploading' && (
          <progress aria-label={`Upload of ${file.name}`} value={sentBytes} max={Math.max(1, file.size)} />
        )}
      </span>
      <button
        type="button"
        className="icon-button"
        aria-label={state === 'uploading' ? `Cancel the upload of ${file.name}` : `Remove ${file.name}`}
        onClick={() => onRemove(key)}
      >
        <Icon name="close" />
      </button>
    </li>
  );
}

/** Size of a thumbnail in pixels, for screens with two pixels per CSS pixel. */
const THUMBNAIL_PX = 96;

/** A small picture of a local file, or an icon. A canvas, because the page's content security policy allows no blob: URLs. */
function Thumbnail({ file }: { file: File }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [isImage, setImage] = useState(file.type.startsWith('image/'));
  useEffect(() => {
    if (!isImage) return undefined;
    let current = true;
    createImageBitmap(file).then(
      (bitmap) => {
        if (current && canvas.current) drawCentre(bitmap, canvas.current);
        bitmap.close();
      },
      () => setImage(false),
    );
    return () => {
      current = false;
    };
  }, [file]);
  return isImage ? (
    <canvas ref={canvas} className="file-icon" width={THUMBNAIL_PX} height={THUMBNAIL_PX} aria-hidden="true" />
  ) : (
    <span className="file-icon">
      <Icon name="file" />
    </span>
  );
}

/** Draws the largest square in the middle of an image. */
function drawCentre(image: ImageBitmap, canvas: HTMLCanvasElement): void {
  const side = Math.min(image.width, image.height);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.imageSmoothingQuality = 'high';
  context.drawImage(
    image,
    ...([(image.width - side) / 2, (image.height - side) / 2, side, side] as const),
    ...([0, 0, canvas.width, canvas.height] as const),
  );
}

/** Returns the state of the uploads for screen readers. */
function wordProgress(files: readonly PendingFile[]): string {
  if (files.length === 0) return '';
  const count = files.length === 1 ? '1 file' : `${files.length} files`;
  if (files.some((each) => stateOf(each) === 'uploading')) return `Uploading ${count}…`;
  return files.some((each) => stateOf(each) === 'failed') ? '' : `${count} ready to send.`;
}
