import { z } from 'zod';

/** What `export` writes and `import` reads back: JSON that says what it is and in which version of this format. */

const moment = z.iso.datetime();
const person = z.object({ id: z.uuid(), username: z.string(), nickname: z.string() });

export const exportedMessage = z.object({
  number: z.int().positive(),
  kind: z.enum(['USER', 'SYSTEM']),
  /** Null for a SYSTEM message, and where the account is gone. */
  senderId: z.uuid().nullable(),
  /** Null once deleted, and for a SYSTEM message other than NOTICE. */
  body: z.string().nullable(),
  systemEvent: z.enum(['MEMBER_JOINED', 'MEMBER_LEFT', 'RENAMED', 'NOTICE']).nullable(),
  subjectId: z.uuid().nullable(),
  clientMessageId: z.string().nullable(),
  /** Of a NOTICE; absent in exports of 0.1.0. */
  service: z.string().nullable().optional(),
  authorName: z.string().nullable().optional(),
  countsAsUnread: z.boolean().optional(),
  replyToNumber: z.int().positive().nullable(),
  createdAt: moment,
  editedAt: moment.nullable(),
  deletedAt: moment.nullable(),
  /** The SHA-256 of the text that was first sent with the clientMessageId, once it has been edited. */
  sentDigest: z.hex().nullable(),
  reactions: z.array(z.object({ emoji: z.string(), userId: z.uuid(), createdAt: moment })),
});
export type ExportedMessage = z.infer<typeof exportedMessage>;

/** A room with all that was said in it. */
export const exportedChatroom = z.object({
  parley: z.literal('chatroom'),
  version: z.literal(1),
  chatroom: z.object({
    id: z.uuid(),
    kind: z.enum(['DIRECT', 'GROUP', 'OPEN']),
    name: z.string().nullable(),
    topic: z.string().nullable(),
    ownerId: z.uuid().nullable(),
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
  /** Everyone who is named by an id: members, and who wrote, reacted or was spoken of. */
  people: z.array(person),
  messages: z.array(exportedMessage),
});
export type ExportedChatroom = z.infer<typeof exportedChatroom>;

/** What a user may have of their account: what they gave and did, and nobody else's words or addresses. */
export const exportedUser = z.object({
  parley: z.literal('user'),
  version: z.literal(1),
  user: person.extend({
    bio: z.string().nullable(),
    email: z.string().nullable(),
    emailVerified: z.boolean(),
    /** The address that replaces `email` once it is verified. Absent in exports of 0.1.0. */
    pendingEmail: z.string().nullable().optional(),
    friendPolicy: z.enum(['OPEN', 'APPROVAL']),
    isBot: z.boolean(),
    createdAt: moment,
    updatedAt: moment,
    lastSeenAt: moment.nullable(),
  }),
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
  messages: z.array(
    exportedMessage
      .pick({ number: true, body: true, clientMessageId: true, createdAt: true, editedAt: true, deletedAt: true })
      .extend({ chatroomId: z.uuid() }),
  ),
});
export type ExportedUser = z.infer<typeof exportedUser>;
