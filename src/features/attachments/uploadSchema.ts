import { builder } from '../../graphql/builder.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { keyOf } from '../../core/globalIds.ts';
import type { Attachment as AttachmentRow } from '../../platform/database/generated/client.ts';
import { viewerField } from '../users/schema.ts';
import { Attachment } from './schema.ts';
import { completeUpload } from './completing.ts';
import { createUpload, deleteUpload, type UploadRequest, uploadRequestOf } from './uploads.ts';

const UploadState = builder.enumType('UploadState', {
  description: 'State of an upload.',
  values: {
    OPEN: { description: 'The client sends the bytes, and then calls `completeUpload`.' },
    COMPLETED: { description: 'The bytes have been checked.' },
  } as const,
});

const UploadPurpose = builder.enumType('UploadPurpose', {
  description: 'Use of an uploaded file.',
  values: {
    MESSAGE: { description: 'For `sendMessage`.' },
    AVATAR: { description: 'For `setAvatar` or `setChatroomAvatar`. Only images.' },
  } as const,
});

const HttpHeader = builder.objectRef<{ name: string; value: string }>('HttpHeader').implement({
  description: 'A header of an HTTP request.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Name of the header, in lower case.' }),
    value: t.exposeString('value', { description: 'Value of the header.' }),
  }),
});

/** The request of each upload of an operation, so that all its fields belong to the same request. */
const requests = new WeakMap<AttachmentRow, Promise<UploadRequest>>();
function requestOf(context: Context, upload: AttachmentRow): Promise<UploadRequest> {
  const request = requests.get(upload) ?? uploadRequestOf(context, upload);
  requests.set(upload, request);
  return request;
}

const Upload = builder.prismaNode('Attachment', {
  variant: 'Upload',
  description:
    'A file that the viewer is about to upload. An upload that is not sent within 24 hours is deleted. `deleteUpload` deletes it at once.',
  id: { field: 'id' },
  nullable: true,
  findUnique: (id, context) => ({ id, userId: requireViewer(context).userId, deletedAt: null }),
  fields: (t) => ({
    state: t.field({
      type: UploadState,
      description: 'State of the upload.',
      resolve: ({ state }) => (state === 'UPLOADING' ? ('OPEN' as const) : ('COMPLETED' as const)),
    }),
    method: t.string({ description: 'Method of the request that sends the bytes: PUT.', resolve: () => 'PUT' }),
    url: t.string({
      description:
        'URL to which the client sends the bytes: a path on this server, or a URL of an object store. The URL contains a signature, and needs no further authentication.',
      resolve: async (upload, _args, context) => (await requestOf(context, upload)).url,
    }),
    headers: t.field({
      type: [HttpHeader],
      description:
        'Headers that the request must have. Content-Length, which HTTP libraries set themselves, must be the announced size.',
      resolve: async (upload, _args, context) =>
        Object.entries((await requestOf(context, upload)).headers).map(([name, value]) => ({ name, value })),
    }),
    expiresAt: t.field({
      type: 'DateTime',
      description:
        'Time at which the URL expires, 15 minutes after it was issued. Query the upload again for a new URL. A request that has begun before may take longer.',
      resolve: async (upload, _args, context) => (await requestOf(context, upload)).expiresAt,
    }),
  }),
});

const CreateUploadInput = builder.inputType('CreateUploadInput', {
  description: 'File to upload.',
  fields: (t) => ({
    fileName: t.string({
      required: true,
      description: 'Name of the file: 1 to 255 characters without control characters and direction overrides.',
    }),
    byteSize: t.int({ required: true, description: 'Size of the file in bytes, from 1 to the limit of the server.' }),
    sha256: t.string({ required: true, description: 'SHA-256 of the file, as 64 hexadecimal digits in lower case.' }),
    mediaType: t.string({
      required: true,
      description:
        'Media type of the file, such as image/jpeg. Parameters are ignored. An empty text or application/octet-stream claims no type.',
    }),
    purpose: t.field({
      type: UploadPurpose,
      required: true,
      defaultValue: 'MESSAGE',
      description: 'Use of the file.',
    }),
  }),
});

const CreateUploadPayload = builder.objectRef<{ upload: AttachmentRow }>('CreateUploadPayload').implement({
  description: 'Result of `createUpload`.',
  fields: (t) => ({ upload: t.expose('upload', { type: Upload, description: 'The upload.' }) }),
});

const CompleteUploadInput = builder.inputType('CompleteUploadInput', {
  description: 'Input of `completeUpload`.',
  fields: (t) => ({ uploadId: t.id({ required: true, description: 'Id of an upload of the viewer.' }) }),
});

const CompleteUploadPayload = builder.objectRef<{ attachment: AttachmentRow }>('CompleteUploadPayload').implement({
  description: 'Result of `completeUpload`.',
  fields: (t) => ({
    attachment: t.expose('attachment', { type: Attachment, description: 'The attachment, ready to be sent.' }),
  }),
});

const DeleteUploadInput = builder.inputType('DeleteUploadInput', {
  description: 'Input of `deleteUpload`.',
  fields: (t) => ({
    uploadId: t.id({
      required: true,
      description: 'Id of an open upload of the viewer, or of an attachment that the viewer has not sent.',
    }),
  }),
});

const DeleteUploadPayload = builder.objectRef<{ uploadId: string }>('DeleteUploadPayload').implement({
  description: 'Result of `deleteUpload`.',
  fields: (t) => ({
    deletedUploadId: t.id({
      description: 'Id of the deleted upload or attachment, as in the input.',
      resolve: ({ uploadId }) => uploadId,
    }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  createUpload: t.field({
    type: CreateUploadPayload,
    nullable: true,
    description:
      'Announces a file, and returns where to send its bytes. Then call `completeUpload`. While an upload is open, the same input returns the same upload. Fails with `BAD_USER_INPUT` for an invalid argument, for example a file that is too large. Fails with `LIMIT_REACHED` if the viewer has 100 open uploads, or if the files of the viewer would need too much storage. Fails with `FORBIDDEN` if the server stores no files; `Server.features` then lacks `attachments`.',
    args: { input: t.arg({ type: CreateUploadInput, required: true, description: 'File to upload.' }) },
    resolve: async (_, { input }, context) => ({ upload: await createUpload(context, input) }),
  }),
  completeUpload: t.field({
    type: CompleteUploadPayload,
    nullable: true,
    description:
      'Checks the bytes that the client has sent, and returns the attachment. A repeated call returns the same attachment. The attachment is REJECTED if its bytes contradict the claimed media type. Fails with `NOT_FOUND` for an unknown upload. Fails with `CONFLICT` if no bytes were sent, or other bytes than announced; send them again then.',
    args: { input: t.arg({ type: CompleteUploadInput, required: true, description: 'The upload.' }) },
    resolve: async (_, { input }, context) => ({
      attachment: await completeUpload(context, keyOf('Upload', input.uploadId)),
    }),
  }),
  deleteUpload: t.field({
    type: DeleteUploadPayload,
    nullable: true,
    description:
      'Deletes an open upload, or an attachment that was not sent. It no longer counts as storage or as an open upload, and its bytes are deleted soon. With an object store, an open upload counts as storage until its URL has expired, for up to 90 minutes. An avatar that is still being processed is not set then. Fails with `NOT_FOUND` for an unknown upload, also if it was completed or deleted before, and for a file that was sent or is an avatar: delete the message, or call `setAvatar` or `setChatroomAvatar`. Fails with `FORBIDDEN` if the server stores no files.',
    args: { input: t.arg({ type: DeleteUploadInput, required: true, description: 'The upload.' }) },
    resolve: async (_, { input: { uploadId } }, context) => {
      const [upload, attachment] = [keyOf('Upload', uploadId), keyOf('Attachment', uploadId)];
      await deleteUpload(context, { uploadId: upload, attachmentId: attachment });
      return { uploadId };
    },
  }),
}));
