import { z } from 'zod';

const moment = z.iso.datetime();
const person = z.object({ id: z.uuid(), username: z.string(), nickname: z.string() });

/** Id in another application. Absent in exports of release 0.1.0. */
const externalId = z.string().nullable().optional();

const variant = z.object({
  object: z.uuid(),
  byteSize: z.int().positive(),
  sha256: z.hex(),
  width: z.int().positive(),
  height: z.int().positive(),
});

/**
 * A file. Its bytes are in the folder `FILE.files/ID` next to the exported file, under the names of the objects. Left out
 * are files that are still being processed.
 */
const exportedAttachment = z.object({
  id: z.uuid(),
  userId: z.uuid(),
  fileName: z.string(),
  mediaType: z.string(),
  byteSize: z.int().positive(),
  sha256: z.hex(),
  object: z.uuid(),
  image: z
    .object({
      width: z.int().positive(),
      height: z.int().positive(),
      thumbHash: z.string(),
      preview: variant,
      thumbnail: variant,
    })
    .nullable(),
  durationMs: z.int().nullable(),
  createdAt: moment,
});
export type ExportedAttachment = z.infer<typeof exportedAttachment>;

/** A message of an exported room. */
const exportedMessage = z.object({
  number: z.int().positive(),
  kind: z.enum(['USER', 'SYSTEM']),
  /** Null for a SYSTEM message, and if the account has been deleted. */
  senderId: z.uuid().nullable(),
  /** Null if the message has been deleted, and for a SYSTEM message other than NOTICE. */
  body: z.string().nullable(),
  systemEvent: z.enum(['MEMBER_JOINED', 'MEMBER_LEFT', 'RENAMED', 'NOTICE']).nullable(),
  subjectId: z.uuid().nullable(),
  clientMessageId: z.string().nullable(),
  /** Service that sent a NOTICE. Exports of release 0.1.0 lack this field and the next two. */
  service: z.string().nullable().optional(),
  authorName: z.string().nullable().optional(),
  countsAsUnread: z.boolean().optional(),
  replyToNumber: z.int().positive().nullable(),
  createdAt: moment,
  editedAt: moment.nullable(),
  deletedAt: moment.nullable(),
  /** SHA-256 of the text before the first edit. Null if the message was never edited, or has no `clientMessageId`. */
  sentDigest: z.hex().nullable(),
  reactions: z.array(z.object({ emoji: z.string(), userId: z.uuid(), createdAt: moment })),
  /** Link previews in their order. Absent in exports of release 0.1.0. */
  linkPreviews: z
    .array(
      z.object({
        // Pages show it as a link, which must run no script.
        url: z.url({ protocol: /^https?$/ }),
        title: z.string().nullable(),
        description: z.string().nullable(),
        siteName: z.string().nullable(),
      }),
    )
    .optional(),
  /** Absent in exports of release 0.1.0. */
  attachments: z.array(exportedAttachment).optional(),
});
export type ExportedMessage = z.infer<typeof exportedMessage>;

/**
 * JSON format of an exported room with all its messages. The fields `parley` and `version` identify the kind of export
 * and the version of the format.
 */
export const exportedChatroom = z.object({
  parley: z.literal('chatroom'),
  version: z.literal(1),
  chatroom: z.object({
    id: z.uuid(),
    kind: z.enum(['DIRECT', 'GROUP', 'OPEN']),
    name: z.string().nullable(),
    topic: z.string().nullable(),
    ownerId: z.uuid().nullable(),
    externalId,
    createdAt: moment,
    updatedAt: moment,
  }),
  members: z.array(
    z.object({
      userId: z.uuid(),
      role: z.enum(['OWNER', 'ADMIN', 'MEMBER']),
      joinedAt: moment,
      lastReadNumber: z.int().nonnegative(),
    }),
  ),
  /** All users whose id appears in the export: members, senders, users who reacted, and subjects of system messages. */
  people: z.array(person.extend({ externalId })),
  /** Picture of the room. Absent in exports of release 0.1.0. */
  avatar: exportedAttachment.nullable().optional(),
  messages: z.array(exportedMessage),
});
export type ExportedChatroom = z.infer<typeof exportedChatroom>;

/**
 * JSON format of the account data that a user is entitled to receive. Excludes other users' messages and e-mail
 * addresses.
 */
export const exportedUser = z.object({
  parley: z.literal('user'),
  version: z.literal(1),
  user: person.extend({
    bio: z.string().nullable(),
    email: z.string().nullable(),
    emailVerified: z.boolean(),
    /** New address, which replaces `email` when the user has verified it. Absent in exports of release 0.1.0. */
    pendingEmail: z.string().nullable().optional(),
    friendPolicy: z.enum(['OPEN', 'APPROVAL']),
    isBot: z.boolean(),
    externalId,
    /** URL of the avatar that the other application has given. Absent in exports of release 0.1.0. */
    externalAvatarUrl: z.string().nullable().optional(),
    createdAt: moment,
    updatedAt: moment,
    lastSeenAt: moment.nullable(),
  }),
  /** Absent in exports of release 0.1.0. */
  avatar: exportedAttachment.nullable().optional(),
  /** Owner and scopes of a bot; null for people. Absent in exports of release 0.1.0. */
  bot: z
    .object({ ownerId: z.uuid(), scopes: z.array(z.string()) })
    .nullable()
    .optional(),
  /** Bots of the user, without their tokens. Absent in exports of release 0.1.0. */
  bots: z.array(person.extend({ scopes: z.array(z.string()), createdAt: moment })).optional(),
  /** Time at which the user became an admin; null if the user is no admin. Absent in exports of release 0.1.0. */
  adminSince: moment.nullable().optional(),
  /** Actions of the user as an admin, which the audit log keeps. Absent in exports of release 0.1.0. */
  auditEntries: z
    .array(z.object({ action: z.string(), subject: z.string().nullable(), reason: z.string(), createdAt: moment }))
    .optional(),
  friends: z.array(person),
  friendRequests: z.array(z.object({ fromId: z.uuid(), toId: z.uuid(), createdAt: moment })),
  blockedUsers: z.array(person),
  sessions: z.array(
    z.object({
      createdAt: moment,
      lastSeenAt: moment,
      endedAt: moment.nullable(),
      userAgent: z.string().nullable(),
      ipAddress: z.string().nullable(),
    }),
  ),
  identities: z.array(z.object({ issuer: z.string(), subject: z.string(), createdAt: moment })),
  pushDevices: z.array(z.object({ platform: z.enum(['FCM', 'WEB_PUSH']), createdAt: moment })),
  chatrooms: z.array(
    z.object({
      id: z.uuid(),
      kind: z.enum(['DIRECT', 'GROUP', 'OPEN']),
      name: z.string().nullable(),
      role: z.enum(['OWNER', 'ADMIN', 'MEMBER']),
      joinedAt: moment,
      lastReadNumber: z.int().nonnegative(),
    }),
  ),
  reactions: z.array(
    z.object({ chatroomId: z.uuid(), number: z.int().positive(), emoji: z.string(), createdAt: moment }),
  ),
  /** Link previews that the user has requested within a day, and not sent. Absent in exports of release 0.1.0. */
  linkPreviews: z.array(z.object({ url: z.string(), createdAt: moment })).optional(),
  messages: z.array(
    exportedMessage
      .pick({ number: true, body: true, clientMessageId: true, createdAt: true, editedAt: true, deletedAt: true })
      .extend({ chatroomId: z.uuid(), attachments: z.array(exportedAttachment).optional() }),
  ),
});
export type ExportedUser = z.infer<typeof exportedUser>;
