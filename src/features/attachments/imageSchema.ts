import { builder } from '../../graphql/builder.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import { fileUrl, imageOf } from './attachments.ts';

/** An image that clients display. */
export interface ImageData {
  url: string;
  width: number;
  height: number;
  thumbHash: string;
}

export const Image = builder.objectRef<ImageData>('Image').implement({
  description: 'An image in one size.',
  fields: (t) => ({
    url: t.exposeString('url', {
      description: 'Path of the image on this server. It is read like `Attachment.url`.',
    }),
    width: t.exposeInt('width', { description: 'Width in pixels, of the upright image.' }),
    height: t.exposeInt('height', { description: 'Height in pixels, of the upright image.' }),
    thumbHash: t.exposeString('thumbHash', {
      description:
        'ThumbHash of the image in base64: a blurred placeholder of about 25 bytes, shown while the image loads.',
    }),
  }),
});

export const ImageVariant = builder.enumType('ImageVariant', {
  description: 'Size of an image.',
  values: {
    ORIGINAL: { description: 'The uploaded image, upright and without metadata.' },
    PREVIEW: { description: 'At most 1,280 pixels wide and high, as WebP. Animated if the original is.' },
    THUMBNAIL: { description: 'At most 320 pixels wide and high, as WebP. Never animated.' },
  } as const,
});

/** Returns a variant of an attachment as an image. Null for an attachment without variants. */
export function toImage(attachment: Attachment, variant: 'ORIGINAL' | 'PREVIEW' | 'THUMBNAIL'): ImageData | null {
  const image = imageOf(attachment);
  if (!image) return null;
  const name = ({ ORIGINAL: 'original', PREVIEW: 'preview', THUMBNAIL: 'thumbnail' } as const)[variant];
  const { width, height } = name === 'original' ? image : image[name];
  return { url: fileUrl(attachment, name), width, height, thumbHash: image.thumbHash };
}
