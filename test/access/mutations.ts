import { encodeId } from '../../src/core/globalIds.ts';
import { PASSWORD } from '../support/client.ts';
import {
  attachmentOf,
  botOf,
  browser,
  connectUser,
  deviceOf,
  mailToken,
  openRoom,
  type Place,
  previewOf,
  refreshToken,
  sentAttachmentOf,
  sessionOf,
  uploadOf,
  webhookOf,
} from './place.ts';
import { type Row, row } from './table.ts';

/** Users of the place besides the one who makes the request. */
type Other = 'owner' | 'admin' | 'member' | 'blocked' | 'newcomer';

const inRoom = (p: Place) => ({ chatroomId: p.room });
const about = (other: Other) => (p: Place) => ({ userId: p[other].id });
const inRoomAbout = (other: Other) => (p: Place) => ({ ...inRoom(p), userId: p[other].id });
const rank = (other: Other, role: string) => (p: Place) => ({ ...inRoomAbout(other)(p), role });
const message =
  (of: Other | 'me', more = {}) =>
  (p: Place) => ({ messageId: p[of].said, ...more });
const making = (kind: string, other: Other) => (p: Place) => ({ kind, memberIds: [p[other].id] });
const saying = (body: string) => (p: Place) => ({ chatroomId: p.room, body });

// The outcomes follow the schema's description of each mutation, and docs/blocks.md. An invisible room or message is
// NOT_FOUND, a missing role FORBIDDEN, and a block BLOCKED. A service sends system messages, and may do nothing else
// that requires authentication. The columns are
//
//     signed out · stranger · removed · blocked · member · admin · owner · service

/** Mutations of a room and its messages. */
// prettier-ignore
const inRooms: Row[] = [
  row('401 404 404 403 403 ok  ok  403', 'addChatroomMembers', (p) => ({ chatroomId: p.room, userIds: [p.newcomer.id] })),
  row('401 404 404 ok  ok  ok  ok  403', 'addReaction', message('owner', { emoji: '👍' }), 'to the owner’s message'),
  row('401 404 404 ok  ok  ok  404 403', 'addReaction', message('blocked', { emoji: '👍' }), 'to a message of a blocked user'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'createChatroom', making('GROUP', 'member'), 'with a member'),
  row('401 ok  ok  blk ok  ok  ok  403', 'createChatroom', making('GROUP', 'owner'), 'with the owner'),
  row('401 403 403 403 403 403 403 403', 'createChatroom', (p) => ({ ...making('GROUP', 'owner')(p), externalId: 'r1' }), 'with an external id'),
  row('401 ok  ok  blk ok  ok  400 403', 'createChatroom', making('DIRECT', 'owner'), 'DIRECT, with the owner'),
  row('401 404 404 403 403 ok  ok  403', 'createIncomingWebhook', (p) => ({ ...inRoom(p), name: 'Builds' })),
  row('401 404 404 403 403 403 ok  403', 'deleteChatroom', inRoom),
  row('401 404 404 403 403 ok  ok  403', 'deleteIncomingWebhook', async (p) => ({ webhookId: await webhookOf(p) })),
  row('401 404 404 ok  ok  ok  ok  403', 'deleteMessage', message('me'), 'own'),
  row('401 404 404 403 403 ok  ok  403', 'deleteMessage', message('owner'), 'the owner’s'),
  row('401 404 404 403 403 ok  ok  403', 'deleteMessage', message('admin'), 'of another admin'),
  row('401 404 404 403 403 ok  ok  403', 'deleteMessage', message('member'), 'of another member'),
  row('401 404 404 ok  403 ok  404 403', 'deleteMessage', message('blocked'), 'of a blocked user'),
  row('401 404 404 ok  ok  ok  ok  403', 'editMessage', message('me', { body: 'Another.' }), 'own'),
  row('401 404 404 403 403 403 ok  403', 'editMessage', message('owner', { body: 'Another.' }), 'the owner’s'),
  row('401 404 404 403 403 403 403 403', 'editMessage', message('member', { body: 'Another.' }), 'of another member'),
  row('401 404 404 ok  403 403 404 403', 'editMessage', message('blocked', { body: 'Another.' }), 'of a blocked user'),
  row('401 404 404 404 404 404 404 403', 'joinChatroom', inRoom, 'a GROUP'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'joinChatroom', async (p) => ({ chatroomId: await openRoom(p) }), 'an OPEN room'),
  row('401 404 404 ok  ok  ok  ok  403', 'leaveChatroom', inRoom),
  row('401 404 404 ok  ok  ok  ok  403', 'markRead', message('owner'), 'the owner’s message'),
  row('401 404 404 ok  ok  ok  404 403', 'markRead', message('blocked'), 'a message of a blocked user'),
  row('401 404 404 ok  ok  ok  ok  403', 'markRoomsRead', (p) => ({ messageIds: [p.owner.said] }), 'the owner’s message'),
  row('401 404 404 ok  ok  ok  404 403', 'markRoomsRead', (p) => ({ messageIds: [p.owner.said, p.blocked.said] }), 'the owner’s message and one of a blocked user'),
  row('401 404 404 ok  ok  ok  ok  403', 'markUnread', message('owner'), 'the owner’s message'),
  row('401 404 404 ok  ok  ok  404 403', 'markUnread', message('blocked'), 'a message of a blocked user'),
  row('401 404 404 403 403 ok  ok  403', 'removeChatroomMember', inRoomAbout('member'), 'another member'),
  row('401 404 404 403 403 403 ok  403', 'removeChatroomMember', inRoomAbout('admin'), 'another admin'),
  row('401 404 404 403 403 403 400 403', 'removeChatroomMember', inRoomAbout('owner'), 'the owner'),
  row('401 404 404 ok  ok  ok  ok  403', 'removeLinkPreview', (p) => previewOf(p, p.me), 'from an own message'),
  row('401 404 404 403 403 ok  ok  403', 'removeLinkPreview', (p) => previewOf(p, p.owner), 'from the owner’s message'),
  row('401 404 404 ok  403 ok  404 403', 'removeLinkPreview', (p) => previewOf(p, p.blocked), 'from a message of a blocked user'),
  row('401 404 404 ok  ok  ok  ok  403', 'removeReaction', message('owner', { emoji: '👍' }), 'from the owner’s message'),
  row('401 404 404 ok  ok  ok  404 403', 'removeReaction', message('blocked', { emoji: '👍' }), 'from a message of a blocked user'),
  row('401 404 404 403 403 ok  ok  403', 'rotateIncomingWebhook', async (p) => ({ webhookId: await webhookOf(p) })),
  row('401 404 404 ok  ok  ok  ok  403', 'sendMessage', saying('hello')),
  row('401 403 403 403 403 403 403 403', 'sendMessage', (p) => ({ ...saying('hello')(p), asUserId: p.me.id }), 'as a user'),
  row('401 404 404 ok  ok  ok  ok  403', 'sendMessage', async (p) => ({ ...saying('')(p), attachmentIds: [await attachmentOf(p, p.me)] }), 'with an own file'),
  row('401 404 404 404 404 404 ok  403', 'sendMessage', async (p) => ({ ...saying('')(p), attachmentIds: [await attachmentOf(p, p.owner)] }), 'with a file of the owner'),
  row('401 403 403 403 403 403 403 ok ', 'sendSystemMessage', saying('hello'), 'into the room'),
  row('401 403 403 403 403 403 403 off', 'sendSystemMessage', (p) => ({ ...about('owner')(p), body: 'hello' }), 'to the owner, offline'),
  row('401 403 403 403 403 403 403 ok ', 'sendSystemMessage', async (p) => {
    await connectUser(p, p.owner);
    return { username: p.owner.username, body: 'hello' };
  }, 'to the owner, online'),
  row('401 404 404 403 403 ok  ok  403', 'setChatroomAvatar', async (p) => ({ ...inRoom(p), attachmentId: await attachmentOf(p, p.me, 'AVATAR') }), 'an own image'),
  row('401 404 404 403 403 404 ok  403', 'setChatroomAvatar', async (p) => ({ ...inRoom(p), attachmentId: await attachmentOf(p, p.owner, 'AVATAR') }), 'an image of the owner'),
  row('401 404 404 403 403 403 ok  403', 'setMemberRole', rank('member', 'ADMIN'), 'another member to ADMIN'),
  row('401 404 404 403 403 403 ok  403', 'setMemberRole', rank('admin', 'MEMBER'), 'another admin to MEMBER'),
  row('401 404 404 403 403 403 400 403', 'setMemberRole', rank('owner', 'MEMBER'), 'the owner to MEMBER'),
  row('401 404 404 403 403 403 ok  403', 'setMemberRole', rank('member', 'OWNER'), 'another member to OWNER'),
  row('401 404 404 ok  ok  ok  ok  403', 'setTyping', (p) => ({ chatroomId: p.room, typing: true })),
  row('401 404 404 403 403 ok  ok  403', 'updateChatroom', (p) => ({ chatroomId: p.room, name: 'Another name' })),
];

/** Mutations between the viewer and the owner. The owner sent the viewer a friend request before any block. */
// prettier-ignore
const betweenPeople: Row[] = [
  row('401 ok  ok  404 ok  ok  404 403', 'acceptFriend', about('owner')),
  row('401 ok  ok  blk ok  ok  400 403', 'addFriend', about('owner')),
  row('401 ok  ok  ok  ok  ok  400 403', 'blockUser', about('owner')),
  row('401 ok  ok  404 ok  ok  404 403', 'declineFriend', about('owner')),
  row('401 ok  ok  ok  ok  ok  ok  403', 'removeFriend', about('owner')),
  row('401 ok  ok  ok  ok  ok  ok  403', 'unblockUser', about('owner')),
];

/** Mutations of the viewer's account. A service may run those that need no authentication. */
// prettier-ignore
const ofAccounts: Row[] = [
  row('401 ok  ok  ok  ok  ok  ok  403', 'changePassword', () => ({ currentPassword: PASSWORD, newPassword: 'another horse' })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'completeUpload', async (p) => ({ uploadId: await uploadOf(p, p.me) }), 'own'),
  row('401 404 404 404 404 404 ok  403', 'completeUpload', async (p) => ({ uploadId: await uploadOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'createBot', (p) => ({ name: `${p.me.username.slice(1, 30)}.b`, scopes: ['messages:read'] })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'createUpload', () => ({ fileName: 'note.txt', byteSize: 1, sha256: '0'.repeat(64), mediaType: 'text/plain' })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'deleteAccount', () => ({ password: PASSWORD })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'deleteBot', async (p) => ({ botId: await botOf(p, p.me) }), 'own'),
  row('401 404 404 404 404 404 ok  403', 'deleteBot', async (p) => ({ botId: await botOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'deleteUpload', async (p) => ({ uploadId: await uploadOf(p, p.me) }), 'own'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'deleteUpload', async (p) => ({ uploadId: await attachmentOf(p, p.me) }), 'own attachment, not sent'),
  row('401 404 404 404 404 404 ok  403', 'deleteUpload', async (p) => ({ uploadId: await uploadOf(p, p.owner) }), 'the owner’s'),
  row('401 404 404 404 404 404 404 403', 'deleteUpload', async (p) => ({ uploadId: await sentAttachmentOf(p, p.owner) }), 'the owner’s attachment, sent'),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'refreshSession', async (p) => ({ refreshToken: await refreshToken(p) })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'registerPushDevice', () => ({ platform: 'WEB_PUSH', token: browser() })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'requestEmailVerification'),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'requestPasswordReset', (p) => ({ email: p.me.email })),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'resetPassword', async (p) => ({ token: await mailToken(p, 'RESET_PASSWORD'), newPassword: 'another horse' })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'revokeSession', async (p) => ({ sessionId: await sessionOf(p, p.me) }), 'another own session'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'revokeSession', (p) => ({ sessionId: encodeId('Session', p.me.sessionKey) }), 'the current session'),
  row('401 404 404 404 404 404 ok  403', 'revokeSession', async (p) => ({ sessionId: await sessionOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'rotateBotToken', async (p) => ({ botId: await botOf(p, p.me) }), 'own'),
  row('401 404 404 404 404 404 ok  403', 'rotateBotToken', async (p) => ({ botId: await botOf(p, p.owner) }), 'the owner’s'),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'signIn', (p) => ({ usernameOrEmail: p.me.username, password: PASSWORD })),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'signInWithIdToken', async (p) => ({ idToken: await p.premises.idToken() })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'setAvatar', async (p) => ({ attachmentId: await attachmentOf(p, p.me, 'AVATAR') }), 'an own image'),
  row('401 404 404 404 404 404 ok  403', 'setAvatar', async (p) => ({ attachmentId: await attachmentOf(p, p.owner, 'AVATAR') }), 'an image of the owner'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'signOut'),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'signUp', (p) => ({ username: `${p.me.username.slice(1, 30)}.x`, password: PASSWORD })),
  row('401 ok  ok  ok  ok  ok  ok  403', 'unregisterPushDevice', async (p) => ({ deviceId: await deviceOf(p, p.me) }), 'own'),
  row('401 404 404 404 404 404 ok  403', 'unregisterPushDevice', async (p) => ({ deviceId: await deviceOf(p, p.owner) }), 'the owner’s'),
  row('401 ok  ok  ok  ok  ok  ok  403', 'updateProfile', () => ({ nickname: 'Another' })),
  row('ok  ok  ok  ok  ok  ok  ok  ok ', 'verifyEmail', async (p) => ({ token: await mailToken(p, 'VERIFY_EMAIL') })),
];

const aboutWebhook = () => ({ webhookId: encodeId('Webhook', crypto.randomUUID()) });

/** Mutations of services. The service of these tables has the scope `notices:write` only; scopes.test.ts has the others. */
// prettier-ignore
const ofServices: Row[] = [
  row('401 403 403 403 403 403 403 403', 'createAccessToken', () => ({ externalId: 'u1' })),
  row('401 403 403 403 403 403 403 403', 'deactivateUser', () => ({ externalId: 'u1' })),
  row('401 403 403 403 403 403 403 403', 'deleteUser', () => ({ externalId: 'u1' })),
  row('401 403 403 403 403 403 403 403', 'reactivateUser', () => ({ externalId: 'u1' })),
  row('401 403 403 403 403 403 403 403', 'revokeAccessTokens', () => ({ externalId: 'u1' })),
  row('401 403 403 403 403 403 403 403', 'upsertUsers', () => ({ users: [{ externalId: 'u1' }] })),
  row('401 403 403 403 403 403 403 403', 'createWebhook', () => ({ name: 'hook', url: 'https://example.org/', events: ['MESSAGE_ADDED'] })),
  row('401 403 403 403 403 403 403 403', 'deleteWebhook', aboutWebhook),
  row('401 403 403 403 403 403 403 403', 'redeliver', (p) => ({ ...aboutWebhook(), ...inRoom(p), seq: 1 })),
  row('401 403 403 403 403 403 403 403', 'resumeWebhook', aboutWebhook),
  row('401 403 403 403 403 403 403 403', 'rotateWebhookSecret', aboutWebhook),
  row('401 403 403 403 403 403 403 403', 'testWebhook', aboutWebhook),
  row('401 403 403 403 403 403 403 403', 'updateWebhook', aboutWebhook),
];

const because = { reason: 'a test' };

/** Mutations of admins of the server. No role of the table is one. */
// prettier-ignore
const ofAdmins: Row[] = [
  row('401 403 403 403 403 403 403 403', 'adminCreateServiceToken', () => ({ name: 'other', scopes: ['users:write'], ...because })),
  row('401 403 403 403 403 403 403 403', 'adminCreateUser', () => ({ username: 'another', ...because })),
  row('401 403 403 403 403 403 403 403', 'adminDeleteMessage', message('owner', because)),
  row('401 403 403 403 403 403 403 403', 'adminDeleteUser', (p) => ({ ...about('member')(p), ...because })),
  row('401 403 403 403 403 403 403 403', 'adminEndSession', async (p) => ({ sessionId: await sessionOf(p, p.owner), ...because })),
  row('401 403 403 403 403 403 403 403', 'adminEndSessions', (p) => ({ ...about('member')(p), ...because })),
  row('401 403 403 403 403 403 403 403', 'adminRestoreUser', (p) => ({ ...about('member')(p), ...because })),
  row('401 403 403 403 403 403 403 403', 'adminRevokeServiceToken', () => ({ name: 'billing', ...because })),
  row('401 403 403 403 403 403 403 403', 'adminSuspendUser', (p) => ({ ...about('member')(p), ...because })),
];

export const mutations: Row[] = [...inRooms, ...betweenPeople, ...ofAccounts, ...ofServices, ...ofAdmins];
