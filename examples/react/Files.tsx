import { type Attachment, type FileUpload, useFileUrl } from '@parley/client/react';

/** Shows a file of a message: a picture, or a link to any other file. */
export function MessageFile({ file: { fileName, state, url, image } }: { file: Attachment }) {
  const src = useFileUrl(image?.url);
  const href = useFileUrl(url);
  if (image) {
    // The attributes reserve the space of the picture before it is loaded.
    const { width, height } = image;
    return <img {...{ src, width, height }} alt={fileName} style={{ maxWidth: '20rem', height: 'auto' }} />;
  }
  if (state === 'READY') return <a href={href}>{fileName}</a>;
  return <i>{state === 'PROCESSING' ? `${fileName} is being checked…` : `${fileName} was rejected`}</i>;
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
  if (attachment?.state === 'REJECTED')
    return <span role="alert">is damaged, or its content contradicts its name. Remove it.</span>;
  return attachment ? 'is ready' : <progress value={sentBytes} max={file.size} />;
}
