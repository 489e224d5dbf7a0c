import { describe, expect, test } from 'vitest';
import { signUp } from '../support/client.ts';
import { CREATE_CHATROOM, send } from '../support/world.ts';
import { focused, tabTo, violations } from './access.ts';
import { act, box, hasChromium, messageOf, openPageOfAnn, openRoom, write } from './browser.ts';

const MARK_READ = 'mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }';
const REACT =
  'mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "🎉" }) { message { id reactions { count } } } }';
const ADD =
  'mutation ($id: ID!, $userIds: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $userIds }) { chatroom { id } } }';
const REMOVE =
  'mutation ($id: ID!, $userId: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $userId }) { chatroom { id } } }';
const DELETE_ROOM = 'mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }';
const UNREAD = 'query ($id: ID!) { chatroom(id: $id) { unreadCount } }';

describe.skipIf(!hasChromium)('the page (skipped without chromium)', { timeout: 120_000 }, () => {
  test('a message shows how many have read it, and their names', async () => {
    const { page, server, ann, ben, eve, room } = await openPageOfAnn({});
    const finn = await signUp(server.url, 'finn');
    await ann.ask(ADD, { id: room, userIds: [eve.id, finn.id] });
    const { id } = await send(ann, room, 'who comes?');
    await ben.ask(MARK_READ, { id });
    const row = messageOf(page, 'who comes?');
    await row.getByRole('button', { name: 'Read by 1 of 3' }).waitFor();
    await eve.ask(MARK_READ, { id });
    await row.getByRole('button', { name: 'Read by 2 of 3' }).waitFor();
    await tabTo(page, 'Read by 2 of 3', 'Shift+Tab');
    expect(await page.getByRole('tooltip').innerText()).toBe('ben and eve');
    expect(await row.getByRole('button', { name: 'Read by' }).getAttribute('aria-describedby')).toBe(
      await page.getByRole('tooltip').getAttribute('id'),
    );
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('tooltip').count()).toBe(0);
    // Only the newest message that others have read shows its readers.
    await send(ann, room, 'and who cooks?');
    await finn.ask(MARK_READ, { id });
    await row.getByRole('button', { name: 'Read by everyone' }).waitFor();
    expect(await page.getByRole('button', { name: /^Read by/ }).count()).toBe(1);
  });

  test('a message in a DIRECT room shows whether it is read', async () => {
    const { page, ann, ben } = await openPageOfAnn({});
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } });
    await openRoom(page, /^ben/);
    await write(page, 'are you there?');
    await messageOf(page, 'are you there?').locator('time').waitFor();
    expect(await page.locator('.seen').count()).toBe(0);
    await send(ben, createChatroom.chatroom.id, 'yes');
    await messageOf(page, 'are you there?').getByText('Read', { exact: true }).waitFor();
  });

  test('names of reacting users are fetched when they are shown', async () => {
    const { page, server, ann, ben, room } = await openPageOfAnn({});
    const { id } = await send(ann, room, 'cake!');
    await ben.ask(REACT, { id });
    const reaction = messageOf(page, 'cake!').getByRole('button', { name: '🎉, 1' });
    await reaction.waitFor();
    await tabTo(page, '🎉, 1', 'Shift+Tab');
    await page.getByRole('tooltip').getByText('ben', { exact: true }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('tooltip').getByText('ann and ben').waitFor();
    expect(await focused(page)).toBe('🎉, 2');
    await page.keyboard.press('Tab');
    await expect.poll(() => page.getByRole('tooltip').count()).toBe(0);
    expect(server.node.gauges.streams).toBe(7);
  });

  test('a message marked as unread shows the divider and counts as unread', async () => {
    const { page, ann, ben, room } = await openPageOfAnn({});
    for (const body of ['one', 'two', 'three']) await send(ben, room, body);
    await messageOf(page, 'three').waitFor();
    const unread = async () => (await ann.ask(UNREAD, { id: room })).chatroom.unreadCount;
    await expect.poll(unread).toBe(0);
    await act(page, 'two', 'Mark as unread');
    await page.getByRole('link', { name: /A room.*2 unread/ }).waitFor();
    expect(await page.locator('.unread-line + .message .body').innerText()).toBe('two');
    await expect.poll(() => page.title()).toBe('(2) Parley');
    await send(ben, room, 'four');
    await page.getByRole('link', { name: /A room.*3 unread/ }).waitFor();
    expect(await unread()).toBe(3);
    await write(page, 'an answer');
    await expect.poll(unread).toBe(0);
    await expect.poll(() => page.title()).toBe('Parley');
  });

  test('a lost room shows the reason, and reappears after rejoining', async () => {
    const { page, ann, ben, eve } = await openPageOfAnn({});
    const { createChatroom } = await ben.ask(CREATE_CHATROOM, {
      input: { kind: 'GROUP', name: 'Of ben', memberIds: [ann.id, eve.id] },
    });
    await openRoom(page, /Of ben/);
    const { id } = createChatroom.chatroom;
    await ben.ask(REMOVE, { id, userId: ann.id });
    await page.getByText('You were removed from this room.').waitFor();
    await ben.ask(ADD, { id, userIds: [ann.id] });
    await box(page).waitFor();
    await ben.ask(DELETE_ROOM, { id });
    await page.getByText('This room was deleted.').waitFor();
    await openRoom(page, /A room/);
  });
});
