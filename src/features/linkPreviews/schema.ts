import { requireViewer } from '../../core/context.ts';
import { keyOf } from '../../core/globalIds.ts';
import { builder } from '../../graphql/builder.ts';
import type { WebPage } from '../../platform/database/generated/client.ts';
import { fileUrl } from '../attachments/attachments.ts';
import { Image, type ImageData } from '../attachments/imageSchema.ts';
import { Message, MessagePayload } from '../messages/schema.ts';
import { findLinkPreview, linkPreviewsOf, removeLinkPreview, visiblePreviews } from './linkPreviews.ts';
import type { PageImage } from './pageImages.ts';

/** Returns the image of a preview. The URL has the id of the preview, because the right to read depends on the preview. */
function toImage(id: string, page: WebPage): ImageData | null {
  const image = page.image as PageImage | null;
  return image && { ...image, url: fileUrl({ id }, 'preview') };
}

const LinkPreview = builder.prismaNode('LinkPreview', {
  description:
    'Title, description and image of a web page. Visible to the user who requested the preview, and to everyone who may read the message with the preview. The texts are those of the page, so clients must show them as plain text.',
  id: { field: 'id' },
  nullable: true,
  select: { id: true, page: true },
  findUnique: (id, context) => ({ id, AND: visiblePreviews(requireViewer(context).userId) }),
  fields: (t) => ({
    url: t.string({
      description: 'Normalised URL of the page, without a fragment.',
      resolve: ({ page }) => page.url,
    }),
    title: t.string({
      nullable: true,
      description: 'Title of the page on one line, at most 300 characters. Null if the page has none.',
      resolve: ({ page }) => page.title,
    }),
    description: t.string({
      nullable: true,
      description: 'Description of the page on one line, at most 1,000 characters. Null if the page has none.',
      resolve: ({ page }) => page.description,
    }),
    siteName: t.string({
      nullable: true,
      description: 'Name of the site, at most 100 characters. Null if the page does not name it.',
      resolve: ({ page }) => page.siteName,
    }),
    image: t.field({
      type: Image,
      nullable: true,
      description:
        'Image that the page names, as WebP of at most 1,200 × 630 pixels without animation and metadata. This server has encoded and stored it. Every user who may see the preview may read it. Null if the page has none, if it could not be read, and if the server stores no files.',
      resolve: ({ id, page }, _args, { files }) => files && toImage(id, page),
    }),
  }),
});

builder.queryField('linkPreview', (t) =>
  t.field({
    type: LinkPreview,
    nullable: true,
    description:
      'Finds the preview of a link: the title, description, site name and image in the HTML head of the page. Send the preview with `SendMessageInput.linkPreviewIds`, within a day. Null if there is none; the reason is not told. The server requests http and https URLs of public servers only, with the default ports and without credentials. A page is requested again after 24 hours, or after one hour if it had no preview. Null if the operator has turned link previews off; `Server.features` then lacks `link-previews`. Costs 20 points. Fails with `RATE_LIMITED` if 3 other calls of the viewer are running, if the server has requested 100 pages for the viewer within an hour, or if it requests too many pages at a time.',
    args: { url: t.arg.string({ required: true, description: 'URL of the page, at most 2,048 characters.' }) },
    resolve: (_, { url }, context) => findLinkPreview(context, url),
  }),
);

builder.objectField(Message, 'linkPreviews', (t) =>
  t.field({
    type: [LinkPreview],
    description: 'Previews of links in the message, at most 3. Empty if the message has been deleted.',
    // Most messages have none.
    complexity: { field: 1, multiplier: 1 },
    resolve: (message, _args, context) => linkPreviewsOf(context, message),
  }),
);

const RemoveLinkPreviewInput = builder.inputType('RemoveLinkPreviewInput', {
  description: 'Input of `removeLinkPreview`.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'Id of the message.' }),
    linkPreviewId: t.id({ required: true, description: 'Id of a link preview of the message.' }),
  }),
});

builder.mutationField('removeLinkPreview', (t) =>
  t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Removes a link preview from a message. Senders may remove the previews of their own messages; owners and admins may remove those of all users. Changes nothing if the message has no such preview. Fails with `NOT_FOUND` for an unknown message, and with `FORBIDDEN` if the viewer may not remove the preview.',
    args: {
      input: t.arg({ type: RemoveLinkPreviewInput, required: true, description: 'The message and the preview.' }),
    },
    resolve: async (_, { input }, context) => ({
      message: await removeLinkPreview(
        context,
        keyOf('Message', input.messageId),
        keyOf('LinkPreview', input.linkPreviewId),
      ),
    }),
  }),
);
