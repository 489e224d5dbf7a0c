import { builder, connectionArgs, defineConnection } from '../../graphql/builder.ts';
import { requireViewer } from '../../core/context.ts';
import type { Attachment as AttachmentRow } from '../../platform/database/generated/client.ts';
import { isJoined } from '../chatrooms/chatrooms.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { Message } from '../messages/schema.ts';
import { Viewer } from '../users/schema.ts';
import { attachmentsOf, fileUrl, listAttachments, usedStorage, visibleAttachment } from './attachments.ts';
import { Image, ImageVariant, toImage } from './imageSchema.ts';

const AttachmentState = builder.enumType('AttachmentState', {
  description: 'State of an attachment.',
  values: {
    PROCESSING: {
      description: 'The server scans the file or creates the variants of an image. The file cannot be read yet.',
    },
    READY: { description: 'The file can be read at its `url`.' },
    REJECTED: { description: 'The file was refused and deleted. `rejection` has the reason.' },
  } as const,
});

const AttachmentRejection = builder.enumType('AttachmentRejection', {
  description: 'Reason for which an attachment was rejected.',
  values: {
    INFECTED: { description: 'A virus was found in the file.' },
    NOT_WHAT_IT_SAYS: { description: 'The bytes contradict the media type that the client claimed.' },
    TOO_LARGE: { description: 'The image has too many pixels or frames for an avatar, or takes too long to decode.' },
    UNREADABLE: { description: 'The file is damaged: its type is known, but it cannot be read.' },
  } as const,
});

const AttachmentKind = builder.enumType('AttachmentKind', {
  description: 'Kind of a file, which depends on its media type.',
  values: {
    IMAGE: { description: 'A JPEG, PNG, GIF, WebP or AVIF image.' },
    VIDEO: { description: 'A video.' },
    AUDIO: { description: 'A sound, such as a voice message.' },
    FILE: { description: 'Any other file.' },
  } as const,
});

export const Attachment = builder.prismaNode('Attachment', {
  description:
    'A file that a user has uploaded. Visible to its uploader until it is sent, and then to the users who may read its message.',
  id: { field: 'id' },
  nullable: true,
  findUnique: (id, context) => visibleAttachment(id, requireViewer(context).userId),
  fields: (t) => ({
    fileName: t.exposeString('fileName', { description: 'Name of the file, as its uploader sent it.' }),
    mediaType: t.exposeString('mediaType', {
      description: 'Media type of the file, such as image/jpeg. The bytes decide, not the claim of the uploader.',
    }),
    byteSize: t.exposeInt('byteSize', {
      description:
        'Size of the file at `url` in bytes. An image can differ from the upload, because its metadata is removed.',
    }),
    sha256: t.string({
      description: 'SHA-256 of the file at `url`, in lower-case hexadecimal.',
      resolve: ({ sha256 }) => Buffer.from(sha256).toString('hex'),
    }),
    state: t.field({
      type: AttachmentState,
      description: 'State of the file. `AttachmentsChanged` is sent when the processing ends.',
      resolve: ({ state }) => (state === 'UPLOADING' ? 'PROCESSING' : state),
    }),
    rejection: t.expose('rejection', {
      type: AttachmentRejection,
      nullable: true,
      description: 'Reason of the rejection. Null unless the state is REJECTED.',
    }),
    url: t.string({
      nullable: true,
      description:
        'Path of the file on this server, the same for all users. Each request must be authenticated, by the Authorization header, by cookie, or by `?ticket=` with the value of `Viewer.fileTicket`. The response is 404 unless the user may read the file now. Range requests are supported. With an object store, the response is a redirect to a URL that is valid for 60 seconds. Null unless the state is READY.',
      resolve: (attachment) => (attachment.state === 'READY' ? fileUrl(attachment, 'original') : null),
    }),
    image: t.field({
      type: Image,
      nullable: true,
      description:
        'The image in one of three sizes. Null for other files, until the state is READY, and for an image that is too large for variants.',
      args: {
        variant: t.arg({
          type: ImageVariant,
          required: true,
          defaultValue: 'PREVIEW',
          description: 'Size of the image.',
        }),
      },
      resolve: (attachment, { variant }) => toImage(attachment, variant),
    }),
    durationMs: t.exposeInt('durationMs', {
      nullable: true,
      description: 'Duration of a sound or video in milliseconds. Null if unknown.',
    }),
  }),
});

const { List: AttachmentConnection } = defineConnection<AttachmentRow>(Attachment, 'Attachment');

builder.objectField(Message, 'attachments', (t) =>
  t.field({
    type: [Attachment],
    description:
      'Files of the message, in the order of the send. At most 10. Empty if the message has been deleted, and if the account of its sender has been deleted.',
    // Most messages have none.
    complexity: { field: 1, multiplier: 1 },
    resolve: (message, _args, context) => attachmentsOf(context, message),
  }),
);

builder.objectField(Chatroom, 'attachments', (t) =>
  t.field({
    type: AttachmentConnection,
    nullable: true,
    description:
      'Files in the messages of the chatroom that the viewer may see, newest first. Leaves out rejected files. Null unless the viewer is a member.',
    args: {
      kind: t.arg({ type: AttachmentKind, description: 'Returns only files of this kind.' }),
      ...connectionArgs(t.arg),
    },
    resolve: async (chatroom, { kind, ...args }, context) =>
      (await isJoined(context, chatroom)) ? listAttachments(context, chatroom.id, kind, args) : null,
  }),
);

const StorageUse = builder.objectRef<{ usedBytes: number; maxBytes: number }>('StorageUse').implement({
  description: 'Storage that the files of a user need. The numbers are integers, but can exceed the range of Int.',
  fields: (t) => ({
    usedBytes: t.exposeFloat('usedBytes', {
      description: 'Size of all files of the user in bytes. Includes announced uploads, and leaves out variants.',
    }),
    maxBytes: t.exposeFloat('maxBytes', {
      description: 'Maximum size of all files of a user in bytes. `createUpload` fails with `LIMIT_REACHED` above it.',
    }),
  }),
});

const FileTicket = builder.objectRef<{ value: string; expiresAt: Date }>('FileTicket').implement({
  description:
    'Permission to read files on behalf of the current session, for clients that cannot send a header or a cookie, such as an image element.',
  fields: (t) => ({
    value: t.exposeString('value', { description: 'Value of `?ticket=` in the URL of a file.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      description: 'Time at which the ticket expires, one hour after it was issued. It ends with the session, too.',
    }),
  }),
});

builder.objectFields(Viewer, (t) => ({
  storage: t.field({
    type: StorageUse,
    description: 'Storage that the files of the viewer need.',
    resolve: async ({ userId }, _args, context) => ({
      usedBytes: await usedStorage(context, userId),
      maxBytes: context.fileLimits.maxUserBytes,
    }),
  }),
  fileTicket: t.field({
    type: FileTicket,
    description: 'A new ticket for reading files.',
    resolve: (_viewer, _args, context) => context.fileTokens.signTicket(requireViewer(context)),
  }),
}));
