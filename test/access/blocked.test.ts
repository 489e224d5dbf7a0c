import type { GraphQLField } from 'graphql';
import { describe, expect, test } from 'vitest';
import { encodeId } from '../../src/core/globalIds.ts';
import type { Person } from '../support/client.ts';
import { fieldsOf, inputNames, mutationOf, outcomeFor, roomMutations } from '../support/operations.ts';
import { BLOCK, createRoom } from '../support/rooms.ts';
import { startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';

describe('mutations of a room between two users with a block', () => {
  /**
   * Outcomes of each mutation. `direct` is the outcome for both users in their DIRECT room. `blocker` and `blocked` are
   * the outcomes in a GROUP, if the mutation concerns a message of the other user.
   */
  const outcomes: Record<string, { direct: string; blocker?: string; blocked?: string }> = {
    addChatroomMembers: { direct: 'BAD_USER_INPUT' },
    addReaction: { direct: 'BLOCKED', blocker: 'NOT_FOUND', blocked: 'done' },
    createIncomingWebhook: { direct: 'BAD_USER_INPUT' },
    deleteChatroom: { direct: 'done' },
    deleteMessage: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'FORBIDDEN' },
    editMessage: { direct: 'BLOCKED', blocker: 'NOT_FOUND', blocked: 'FORBIDDEN' },
    joinChatroom: { direct: 'NOT_FOUND' },
    leaveChatroom: { direct: 'BAD_USER_INPUT' },
    markRead: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'done' },
    markRoomsRead: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'done' },
    markUnread: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'done' },
    removeChatroomMember: { direct: 'BAD_USER_INPUT' },
    removeLinkPreview: { direct: 'done', blocker: 'NOT_FOUND', blocked: 'FORBIDDEN' },
    removeReaction: { direct: 'BLOCKED', blocker: 'NOT_FOUND', blocked: 'done' },
    sendMessage: { direct: 'BLOCKED', blocker: 'done', blocked: 'done' },
    sendSystemMessage: { direct: 'FORBIDDEN' },
    setChatroomAvatar: { direct: 'BAD_USER_INPUT' },
    setMemberRole: { direct: 'BAD_USER_INPUT' },
    setTyping: { direct: 'done', blocker: 'done', blocked: 'done' },
    updateChatroom: { direct: 'BAD_USER_INPUT' },
  };

  test('every mutation has a row', () => {
    expect(roomMutations).toEqual(Object.keys(outcomes).sort());
  });

  test.each(roomMutations)('%s has the outcomes of its row', async (name) => {
    const server = await startTestServer();
    const { ann: a, ben: b, eve: c } = await world(server);
    const direct = await createRoom(a, { kind: 'DIRECT', memberIds: [b.id] });
    const group = await createRoom(c, { kind: 'GROUP', memberIds: [a.id, b.id] });
    const sendOneEach = async (room: string) =>
      new Map([
        [a, (await send(a, room, 'of a')).id as string],
        [b, (await send(b, room, 'of b')).id as string],
      ]);
    const [inDirect, inGroup] = [await sendOneEach(direct), await sendOneEach(group)];
    const owned = ['deleteMessage', 'editMessage', 'removeLinkPreview'].includes(name);
    const query = mutationOf(name);
    const inputOf = (room: string, other: Person, messageId: string | undefined): object => {
      const field = fieldsOf('Mutation').find((mutation) => mutation.name === name);
      const all: Record<string, unknown> = {
        ...{
          chatroomId: room,
          messageId,
          messageIds: [messageId],
          linkPreviewId: encodeId('LinkPreview', crypto.randomUUID()),
          userId: other.id,
          userIds: [c.id],
          role: 'ADMIN',
          emoji: '👍',
          body: 'x',
        },
        ...{ typing: true, name: 'Us' },
      };
      const accepted = inputNames(field as GraphQLField<unknown, unknown>).filter((key) => Object.hasOwn(all, key));
      // A system message has exactly one of three targets.
      return Object.fromEntries(
        accepted.filter((key) => name !== 'sendSystemMessage' || key !== 'userId').map((key) => [key, all[key]]),
      );
    };
    const both = async (room: string, messages: Map<Person, string>, own: boolean) => {
      const codes = [];
      for (const [person, other] of [
        [a, b],
        [b, a],
      ] as const)
        codes.push(
          await outcomeFor(person, query, { input: inputOf(room, other, messages.get(own ? person : other)) }),
        );
      return codes;
    };
    const row = outcomes[name];
    const { direct: inDirectRoom = '', blocker, blocked } = row ?? {};
    // Precondition: before the block, nothing is refused as BLOCKED, and each sees the other's messages.
    const may = inDirectRoom === 'BLOCKED' ? 'done' : inDirectRoom;
    if (name !== 'deleteMessage') expect(await both(direct, inDirect, owned)).toEqual([may, may]);
    if (blocked !== undefined) expect(await both(group, inGroup, false)).toEqual([blocked, blocked]);
    await a.ask(BLOCK, { id: b.id });
    expect(await both(direct, inDirect, owned)).toEqual([inDirectRoom, inDirectRoom]);
    if (blocked !== undefined) expect(await both(group, inGroup, false)).toEqual([blocker, blocked]);
  });
});
