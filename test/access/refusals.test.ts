import { describe, expect, test } from 'vitest';
import { createServiceToken } from '../../src/auth/serviceTokens.ts';
import { encodeId, keyOf } from '../../src/core/globalIds.ts';
import { connect, request } from '../support/client.ts';
import { mutationOf, outcome, outcomeFor, roomMutations } from '../support/operations.ts';
import {
  countEvents,
  createRoom,
  JOIN,
  REMOVE,
  removedWorld,
  type RemovedWorld,
  type Room,
  SET_ROLE,
} from '../support/rooms.ts';
import { SEND, send } from '../support/world.ts';

describe('mutations of a room by signed-out clients, strangers and removed members', () => {
  const inputs: Record<string, (room: Room, w: RemovedWorld) => object> = {
    addChatroomMembers: ({ id }, { dora }) => ({ chatroomId: id, userIds: [dora.id] }),
    addReaction: ({ ofAnn }) => ({ messageId: ofAnn.id, emoji: '👍' }),
    createIncomingWebhook: ({ id }) => ({ chatroomId: id, name: 'Builds' }),
    deleteChatroom: ({ id }) => ({ chatroomId: id }),
    deleteMessage: ({ ofCem }) => ({ messageId: ofCem.id }),
    editMessage: ({ ofCem }) => ({ messageId: ofCem.id, body: 'another' }),
    joinChatroom: ({ id }) => ({ chatroomId: id }),
    leaveChatroom: ({ id }) => ({ chatroomId: id }),
    markRead: ({ ofAnn }) => ({ messageId: ofAnn.id }),
    markRoomsRead: ({ ofAnn }) => ({ messageIds: [ofAnn.id] }),
    markUnread: ({ ofAnn }) => ({ messageId: ofAnn.id }),
    removeChatroomMember: ({ id }, { ben }) => ({ chatroomId: id, userId: ben.id }),
    removeLinkPreview: ({ ofAnn }) => ({
      messageId: ofAnn.id,
      linkPreviewId: encodeId('LinkPreview', crypto.randomUUID()),
    }),
    removeReaction: ({ ofAnn }) => ({ messageId: ofAnn.id, emoji: '👍' }),
    sendMessage: ({ id }) => ({ chatroomId: id, body: 'hello' }),
    sendSystemMessage: ({ id }) => ({ chatroomId: id, body: 'hello' }),
    setChatroomAvatar: ({ id }) => ({ chatroomId: id, attachmentId: null }),
    setMemberRole: ({ id }, { ben }) => ({ chatroomId: id, userId: ben.id, role: 'ADMIN' }),
    setTyping: ({ id }) => ({ chatroomId: id, typing: true }),
    updateChatroom: ({ id }) => ({ chatroomId: id, name: 'Another name' }),
  };

  test('every mutation of a room or a message has a row', () => {
    expect(roomMutations).toEqual(Object.keys(inputs).sort());
  });

  test.each(roomMutations)('%s is refused and changes nothing', async (name) => {
    const w = await removedWorld();
    const query = mutationOf(name);
    const input = inputs[name] ?? (() => ({}));
    const { server, ann, cem, eve } = w;
    // Precondition: cem may run the mutation in the room that he still owns.
    const service = { authorization: `Bearer ${await createServiceToken(server.node.database, 'billing')}` };
    const allowed = { input: input(w.kept, w) };
    if (name === 'sendSystemMessage') expect(await outcome(request(server.url, query, allowed, service))).toBe('done');
    else if (name === 'joinChatroom') {
      const open = await createRoom(ann, { kind: 'OPEN', name: 'Square' });
      expect(await outcomeFor(cem, query, { input: { chatroomId: open } })).toBe('done');
    } else expect(await outcomeFor(cem, query, allowed)).toBe('done');

    const before = await countEvents(server, w.lost.id);
    const variables = { input: input(w.lost, w) };
    // Users never send system messages, so the server does not look up the room.
    const refusal = name === 'sendSystemMessage' ? 'FORBIDDEN' : 'NOT_FOUND';
    expect(await outcome(request(server.url, query, variables))).toBe('UNAUTHENTICATED');
    expect(await outcome(connect(server.url).ask(query, variables))).toBe('UNAUTHENTICATED');
    for (const person of [eve, cem]) {
      expect(await outcomeFor(person, query, variables)).toBe(refusal);
      expect(await outcome(person.connect().ask(query, variables))).toBe(refusal);
    }
    expect(await countEvents(server, w.lost.id)).toBe(before);
    expect(
      await server.node.database.prisma.member.count({ where: { chatroomId: keyOf('Chatroom', w.lost.id) ?? '' } }),
    ).toBe(2);
  });

  test('a removed member can neither send, reply nor rejoin', async () => {
    const { server, cem, ann, kept, lost } = await removedWorld();
    const again = { chatroomId: kept.id, body: 'again', clientMessageId: 'local 1' };
    for (const deduplicated of [false, true])
      expect((await cem.ask(SEND, { input: again })).sendMessage.deduplicated).toBe(deduplicated);
    expect((await send(cem, kept.id, 'an answer', { replyToId: kept.ofAnn.id })).number).toBe(4);
    await cem.ask(SET_ROLE, { id: kept.id, user: ann.id, role: 'OWNER' });
    await ann.ask(REMOVE, { id: kept.id, user: cem.id });
    const before = await countEvents(server, kept.id);
    // The first answer may have been lost, so a retry returns the stored message. It stores nothing.
    expect((await cem.ask(SEND, { input: again })).sendMessage.deduplicated).toBe(true);
    const next = { ...again, clientMessageId: 'local 2' };
    expect(await cem.askForErrorCode(SEND, { input: next })).toBe('NOT_FOUND');
    expect(await cem.askForErrorCode(SEND, { input: { ...next, replyToId: kept.ofAnn.id } })).toBe('NOT_FOUND');
    expect(await countEvents(server, kept.id)).toBe(before);
    // Nor can he reply to it from a room of his own.
    const own = await createRoom(cem, { kind: 'GROUP' });
    expect(await cem.askForErrorCode(SEND, { input: { chatroomId: own, body: 'hi', replyToId: lost.ofAnn.id } })).toBe(
      'NOT_FOUND',
    );
    expect(await cem.askForErrorCode(JOIN, { id: kept.id })).toBe('NOT_FOUND');
  });
});
