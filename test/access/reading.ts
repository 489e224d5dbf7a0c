import { encodeId } from '../../src/core/globalIds.ts';
import {
  attachmentOf,
  deviceOf,
  membershipOf,
  openRoom,
  type Place,
  previewOf,
  requestBetween,
  sentAttachmentOf,
  sessionOf,
  storePage,
  uploadOf,
  webhookOf,
} from './place.ts';
import { type Row, row } from './table.ts';

// Invisible data does not exist: lookups return null, and streams fail with NOT_FOUND. Signed-out clients may only
// query `server` and `viewer`, and so may services. The columns are
//
//     signed out · stranger · removed · blocked · member · admin · owner · service

const room = ({ room: id }: Place) => ({ id });

// prettier-ignore
export const queries: Row[] = [
  row('nil nil nil nil nil nil nil nil', 'admin'),
  row('401 nil nil ok  ok  ok  ok  403', 'chatroom', room),
  row('401 ok  ok  ok  ok  ok  ok  403', 'chatroom', async (p) => ({ id: await openRoom(p) }), 'an OPEN room'),
  row('401 403 403 403 403 403 403 403', 'chatroomByExternalId', () => ({ externalId: 'r1' })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'linkPreview', async (p) => ({ url: (await storePage(p.premises.server)).url })),
  row('401 nil nil ok  ok  ok  ok  403', 'node', room),
  row('401 nil nil ok  ok  ok  ok  403', 'nodes', (p) => ({ ids: [p.room] })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'openChatrooms'),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'server'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'user', (p) => ({ username: p.owner.username }), 'the owner'),
  row('401 403 403 403 403 403 403 403', 'userByExternalId', () => ({ externalId: 'u1' })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'users'),
  row('nil ok  ok  ok  ok  ok  ok  nil', 'viewer'),
  row('401 403 403 403 403 403 403 403', 'webhook', () => ({ id: encodeId('Webhook', crypto.randomUUID()) })),
  row('401 403 403 403 403 403 403 403', 'webhooks'),
];

/** Results of `node`, for each type that has an id. */
// prettier-ignore
export const nodes: Row[] = [
  row('401 ok  ok  ok  ok  ok  ok  403', 'Attachment', async (p) => ({ id: await attachmentOf(p, p.me) }), 'own, not sent'),
  row('401 nil nil nil nil nil ok  403', 'Attachment', async (p) => ({ id: await attachmentOf(p, p.owner) }), 'the owner’s, not sent'),
  row('401 nil nil ok  ok  ok  ok  403', 'Attachment', async (p) => ({ id: await sentAttachmentOf(p, p.owner) }), 'the owner’s, sent'),
  row('401 nil nil ok  ok  ok  nil 403', 'Attachment', async (p) => ({ id: await sentAttachmentOf(p, p.blocked) }), 'of a blocked user, sent'),
  row('401 nil nil ok  ok  ok  ok  403', 'Chatroom', room),
  row('401 ok  ok  ok  ok  ok  ok  403', 'Chatroom', async (p) => ({ id: await openRoom(p) }), 'an OPEN room'),
  row('401 nil nil ok  ok  ok  ok  403', 'ChatroomMember', (p) => ({ id: membershipOf(p, p.owner) }), 'the owner'),
  row('401 nil nil ok  ok  ok  ok  403', 'ChatroomMember', (p) => ({ id: membershipOf(p, p.blocked) }), 'a blocked user'),
  row('401 ok  ok  nil ok  ok  nil 403', 'FriendRequest', (p) => ({ id: requestBetween(p.owner, p.me) }), 'from the owner to the viewer; a block ends it'),
  row('401 nil nil nil nil nil ok  403', 'FriendRequest', (p) => ({ id: requestBetween(p.owner, p.member) }), 'from the owner to a member'),
  row('401 nil nil nil nil ok  ok  403', 'IncomingWebhook', async (p) => ({ id: await webhookOf(p) })),
  row('401 nil nil ok  ok  ok  ok  403', 'LinkPreview', async (p) => ({ id: (await previewOf(p, p.owner)).linkPreviewId }), 'of a message of the owner'),
  row('401 nil nil ok  ok  ok  nil 403', 'LinkPreview', async (p) => ({ id: (await previewOf(p, p.blocked)).linkPreviewId }), 'of a message of a blocked user'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'LinkPreview', async (p) => ({ id: (await previewOf(p, p.me, false)).linkPreviewId }), 'own, not sent'),
  row('401 nil nil nil nil nil ok  403', 'LinkPreview', async (p) => ({ id: (await previewOf(p, p.owner, false)).linkPreviewId }), 'of the owner, not sent'),
  row('401 nil nil ok  ok  ok  ok  403', 'Message', (p) => ({ id: p.owner.said }), 'the owner’s'),
  row('401 nil nil ok  ok  ok  nil 403', 'Message', (p) => ({ id: p.blocked.said }), 'of a blocked user'),
  row('401 nil nil ok  ok  ok  ok  403', 'Message', (p) => ({ id: p.me.said }), 'own'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'PushDevice', async (p) => ({ id: await deviceOf(p, p.me) }), 'own'),
  row('401 nil nil nil nil nil ok  403', 'PushDevice', async (p) => ({ id: await deviceOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'Session', async (p) => ({ id: await sessionOf(p, p.me) }), 'own'),
  row('401 nil nil nil nil nil ok  403', 'Session', async (p) => ({ id: await sessionOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'Upload', async (p) => ({ id: await uploadOf(p, p.me) }), 'own'),
  row('401 nil nil nil nil nil ok  403', 'Upload', async (p) => ({ id: await uploadOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'User', (p) => ({ id: p.owner.id }), 'the owner'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'User', (p) => ({ id: p.blocked.id }), 'a blocked user'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'Viewer', (p) => ({ id: encodeId('Viewer', p.me.key) }), 'the viewer'),
  row('401 nil nil nil nil nil ok  403', 'Viewer', (p) => ({ id: encodeId('Viewer', p.owner.key) }), 'the owner'),
];

const inRoom = (p: Place) => ({ chatroomId: p.room });
const inOpenRoom = async (p: Place) => ({ chatroomId: await openRoom(p) });

/** "Done" means that the stream is open. */
// prettier-ignore
export const subscriptions: Row[] = [
  row('401 404 404 ok  ok  ok  ok  403', 'chatroomEvents', inRoom),
  row('401 404 404 404 404 404 ok  403', 'chatroomEvents', inOpenRoom, 'of an OPEN room of the owner'),
  row('401 404 404 ok  ok  ok  ok  403', 'chatroomEvents', (p) => ({ ...inRoom(p), snapshot: true }), 'with a snapshot'),
  row('401 404 404 404 404 404 ok  403', 'chatroomEvents', async (p) => ({ ...(await inOpenRoom(p)), snapshot: true }), 'with a snapshot of an OPEN room of the owner'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'events'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'events', () => ({ snapshot: true }), 'with a snapshot'),
  row('401 404 404 ok  ok  ok  ok  403', 'messageAdded', inRoom),
  row('401 404 404 404 404 404 ok  403', 'messageAdded', inOpenRoom, 'of an OPEN room of the owner'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'messageAdded', () => ({}), 'of all rooms'),
  row('401 404 404 ok  ok  ok  ok  403', 'messageSeen', inRoom),
  row('401 ok  ok  ok  ok  ok  ok  403', 'messageSeen', () => ({}), 'of all rooms'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'presenceChanged'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'presenceChanged', (p) => ({ userIds: [p.owner.id] }), 'of the owner, not a friend'),
  row('401 404 404 ok  ok  ok  ok  403', 'readMarksChanged', inRoom),
  row('401 404 404 404 404 404 ok  403', 'readMarksChanged', inOpenRoom, 'of an OPEN room of the owner'),
  row('401 404 404 ok  ok  ok  ok  403', 'typingChanged', inRoom),
  row('401 404 404 404 404 404 ok  403', 'typingChanged', inOpenRoom, 'of an OPEN room of the owner'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'viewerEvents'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'viewerEvents', () => ({ snapshot: true }), 'with a snapshot'),
];
