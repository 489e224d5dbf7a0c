import { useChat } from '@parley/client/react';
import { RemoveLinkPreviewDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Picture, shapeOf } from '../files/Picture.tsx';
import { Icon } from '../parts/Icon.tsx';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';

/** Limits of the ratio of an image, so that neither a tall one nor a banner takes the place of the words. */
const RATIOS = [1.5, 3] as const;

/** Previews of the pages to which a message links. */
export function LinkPreviews({ message, mayRemove }: { message: Message; mayRemove: boolean }) {
  const { cache } = useChat();
  const { report } = useToasts();
  if (message.linkPreviews.length === 0) return null;
  const remove = (linkPreviewId: string) => {
    const removing = cache.mutate(RemoveLinkPreviewDocument, { messageId: message.id, linkPreviewId });
    removing.catch((error: unknown) => report(wordError(error)));
  };
  return (
    <ul className="previews" aria-label="Link previews">
      {message.linkPreviews.map(({ id, url, title, description, siteName, image }) => (
        <li key={id}>
          <a href={url} target="_blank" rel="noreferrer noopener">
            <small>
              {/* The page chooses its name, and could choose that of another site. */}
              <bdi>{new URL(url).host}</bdi>
              {siteName !== null && (
                <>
                  {' · '}
                  <bdi>{siteName}</bdi>
                </>
              )}
            </small>
            {title !== null && <strong dir="auto">{title}</strong>}
            {description !== null && <span dir="auto">{description}</span>}
            {image && (
              <span className="preview-image" style={shapeOf(image, RATIOS)}>
                {/* The words above name the link. */}
                <Picture image={image} name="" />
              </span>
            )}
          </a>
          {mayRemove && (
            <button
              type="button"
              className="icon-button"
              aria-label={`Remove the preview of ${title ?? url}`}
              onClick={() => remove(id)}
            >
              <Icon name="close" />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}
