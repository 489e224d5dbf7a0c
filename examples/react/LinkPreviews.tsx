import { errorOf } from '@parley/client';
import { useChat } from '@parley/client/react';
import { useState } from 'react';
import { Picture } from './Files.tsx';
import { type LinkPreview, REMOVE_LINK_PREVIEW } from './fragments.ts';

interface Props {
  message: { id: string; linkPreviews: readonly LinkPreview[] };
  /** Whether the viewer is the sender of the message, the owner of the room or an admin. */
  mayRemove: boolean;
}

/** Shows the previews of the links in a message. */
export function LinkPreviews({ message, mayRemove }: Props) {
  const { cache } = useChat();
  const [error, setError] = useState('');
  const remove = (preview: string) =>
    cache
      .mutate(REMOVE_LINK_PREVIEW, { message: message.id, preview })
      .catch((reason: unknown) => setError(errorOf(reason)?.message ?? String(reason)));
  return (
    <>
      {message.linkPreviews.map(({ id, url, title, description, siteName, image }) => (
        <blockquote key={id}>
          <a href={url} target="_blank" rel="noreferrer">
            {/* The page chooses its texts, but not its host. */}
            <small>
              {new URL(url).host} {siteName}
            </small>
            <br />
            <b>{title}</b> {description}
            {image && <Picture image={image} alt="" />}
          </a>
          {mayRemove && <button onClick={() => void remove(id)}>Remove the preview</button>}
        </blockquote>
      ))}
      {error && <p role="alert">{error}</p>}
    </>
  );
}
