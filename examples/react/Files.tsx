import { type Attachment, type FileUpload, useFileUrl } from '@parley/client/react';
import { useState } from 'react';
import { thumbHashToDataURL } from 'thumbhash';
import type { Image } from './fragments.ts';

const REASONS = {
  INFECTED: 'a virus was found in it',
  NOT_WHAT_IT_SAYS: 'its content contradicts its name',
  TOO_LARGE: 'it has too many pixels or frames for an avatar',
  UNREADABLE: 'it is damaged',
};

/** Returns why a file was rejected, as the end of a sentence. */
export const wordRejection = ({ rejection }: Pick<Attachment, 'rejection'>) =>
  rejection ? `was rejected, because ${REASONS[rejection]}` : 'was rejected';

/** Shows a file of a message: a picture that links to its original, or a row with the name and the size. */
export function MessageFile({ file }: { file: Attachment }) {
  const { fileName, mediaType, byteSize, state, url, image } = file;
  const href = useFileUrl(url);
  if (state === 'PROCESSING') return <i>{fileName} is being checked…</i>;
  if (state === 'REJECTED') return <i>{`${fileName} ${wordRejection(file)}`}</i>;
  return (
    <a href={href} target="_blank" rel="noreferrer">
      {image ? (
        <Picture image={image} alt={fileName} />
      ) : (
        `${fileName} (${mediaType}, ${Math.ceil(byteSize / 1000)} KB)`
      )}
    </a>
  );
}

/** Shows a picture. Until it is loaded, shows its blurred placeholder. */
export function Picture({ image: { url, width, height, thumbHash }, alt }: { image: Image; alt: string }) {
  const src = useFileUrl(url);
  const [isLoaded, setLoaded] = useState(false);
  const placeholder = () => {
    const bytes = Uint8Array.from(atob(thumbHash), (char) => char.charCodeAt(0));
    return `center / 100% 100% url(${thumbHashToDataURL(bytes)})`;
  };
  // The attributes reserve the space of the picture. The placeholder would shine through a transparent picture.
  const style = { maxWidth: 'min(20rem, 100%)', height: 'auto', background: isLoaded ? 'none' : placeholder() };
  return <img {...{ src, width, height, alt, style }} onLoad={() => setLoaded(true)} />;
}

/** Returns whether an upload is complete, and the server accepts the file in a message. */
export const isSendable = ({ attachment }: FileUpload) => attachment !== null && attachment.state !== 'REJECTED';

interface Props {
  uploads: readonly FileUpload[];
  onRemove: (key: string) => void;
  onRetry: (upload: FileUpload) => void;
}

/** Shows the files of the next message, with their progress. "Remove" also cancels an upload. */
export function UploadList({ uploads, onRemove, onRetry }: Props) {
  return (
    <ul aria-label="Files to send">
      {uploads.map((upload) => (
        <li key={upload.key}>
          {upload.file.name} <UploadState upload={upload} />{' '}
          {upload.error && (
            <button type="button" onClick={() => onRetry(upload)}>
              Try again
            </button>
          )}
          <button type="button" onClick={() => onRemove(upload.key)}>
            Remove
          </button>
        </li>
      ))}
    </ul>
  );
}

function UploadState({ upload: { file, sentBytes, attachment, error } }: { upload: FileUpload }) {
  if (error) return <span role="alert">{error.message}</span>;
  if (!attachment) return <progress value={sentBytes} max={file.size} />;
  if (attachment.state === 'REJECTED') return <span role="alert">{wordRejection(attachment)}. Remove it.</span>;
  // The server may need longer, for example for a scan. The file can be sent before.
  return attachment.state === 'READY' ? 'is ready' : 'is ready to be sent, and is still being checked';
}
