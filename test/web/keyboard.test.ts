import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { sql } from '../../src/platform/database/database.ts';
import { keyOf } from '../../src/core/globalIds.ts';
import { seedDemo } from '../../src/cli/demo/seedDemo.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { chatOf, sendAll } from '../clients/chatOf.ts';
import { PASSWORD } from '../support/client.ts';
import { PNG, sendFile, type TestFile, textFile } from '../support/files.ts';
import { startMailServer } from '../support/mail.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { servePages } from '../support/web.ts';
import { CREATE_CHATROOM, send, world } from '../support/world.ts';
import { focused, tabTo, violations } from './access.ts';
import { bodies, box, hasChromium, messageOf, openBrowser, openPage } from './browser.ts';
import { createKeyboard } from './keyboard.ts';

/** Accessible names of all controls of the page, by source file. The steps below use these names. */
const CONTROLS: Record<string, RegExp[]> = {
  'account/ForgotPassword.tsx': [/^E-mail address of your account/, /^Send me a link/],
  'account/NewPassword.tsx': [/^New password/],
  'account/ResetPassword.tsx': [/^New password/, /^Set password/, /^Cancel$/],
  'account/SignIn.tsx': [/^Username or e-mail address/, /^Password/, /^Sign in/],
  'account/SignUp.tsx': [/^Username/, /^Display name/, /^E-mail address/, /^Password/, /^Sign up/],
  'account/SignedOut.tsx': [/^Reset password/, /Ann$/],
  'account/VerifyEmail.tsx': [/^Confirm$/, /^Not now/],
  'files/AttachButton.tsx': [/^Attach files/],
  'files/Attachments.tsx': [/^View /, /^Download \S/],
  'files/AvatarPicker.tsx': [/^Add picture|^Change picture/, /^Remove picture/],
  'files/PendingFileList.tsx': [/^Try again: /, /^Remove /],
  'files/PictureDialog.tsx': [/^Download$/, /^Previous picture/, /^Next picture/],
  'parts/Dialog.tsx': [/^Close/],
  'parts/Toast.tsx': [/^Undo/, /^Dismiss/],
  'people/FriendRequests.tsx': [/^Accept/, /^Decline/],
  'people/FriendsDialog.tsx': [/^Search people/],
  'people/PeoplePicker.tsx': [/^Search people/, /^ben/],
  'people/PersonRow.tsx': [/^Message$/, /^Add friend|^Unfriend/, /^Block|^Unblock/],
  'people/ProfileDialog.tsx': [
    ...[/^Sign out/, /^Display name/, /^About you/, /^E-mail address/, /^Current password, to/, /^\s*Ask me/],
    ...[/^Save/, /^Notify me/, /^Change your password/, /^Current password/, /^New password/, /^Change password/],
  ],
  'people/Sessions.tsx': [/^Where you are/, /^Sign out /],
  'room/Blocked.tsx': [/^Unblock/],
  'room/Body.tsx': [/^https:/],
  'room/Composer.tsx': [/^Message to/, /^Send$/],
  'room/ComposerBar.tsx': [/^Cancel reply/],
  'room/History.tsx': [/^Messages$/, /^Newest/, /^Earlier messages/],
  'room/LinkPreviews.tsx': [/A page$/, /^Remove the preview/],
  'room/Members.tsx': [/^Make admin/, /^Remove/, /^More members/],
  'room/MessageActions.tsx': [/^Actions for/, /^React with/, /^Reply/, /^Mark as unread/, /^Edit/, /^Delete/],
  'room/PendingRow.tsx': [/^Try again/, /^Discard/],
  'room/ReadBy.tsx': [/^Read by/],
  'room/Reactions.tsx': [/^👍, /],
  'room/Room.tsx': [/^All rooms/],
  'room/RoomDialog.tsx': [
    ...[/^Add people/, /^Add members/, /^Name and topic/, /^Name$/, /^Topic/, /^Save/, /^Hide this/, /^Leave/],
    ...[/^Delete this room/, /^Delete room/, /^Cancel$/],
  ],
  'room/RoomHead.tsx': [/^All rooms/, /^Search this room/, /^About this room/],
  'room/SearchDialog.tsx': [/^Search messages/, /needle/],
  'rooms/FindRoomsDialog.tsx': [/^Search rooms/, /^Join|^Open/],
  'rooms/NewRoomDialog.tsx': [/^Name$/, /^Topic/, /^\s*Anyone can/, /^Create/],
  'rooms/RoomLink.tsx': [/A room/],
  'rooms/RoomList.tsx': [/^Your profile/, /^Friends|^New room|^Find rooms|^Search messages/, /^More rooms/],
};
const { press, type, pressOf, expectAllUsed } = createKeyboard();

async function signIn(page: Page, username: string, password = PASSWORD): Promise<void> {
  await type(page, 'Username or e-mail', username);
  await type(page, 'Password', password);
  await page.keyboard.press('Enter');
}

/** Opens ann's page, signed in, with a room that she shares with ben. */
async function openAnns(server?: TestServer, options = {}) {
  const running = server ?? (await startTestServer());
  const people = await world(running);
  const page = await openPage(await openBrowser(), running.url, options);
  await signIn(page, 'ann');
  await page.getByRole('navigation', { name: 'Rooms' }).waitFor();
  return { ...people, server: running, page };
}

/** Expects that axe finds no problem on the current screen, light and dark. */
async function checkScreen(page: Page): Promise<void> {
  for (const colorScheme of ['dark', 'light'] as const) {
    // Without this, axe would measure colours during a transition.
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    expect(await violations(page), colorScheme).toEqual([]);
  }
}

/** Opens a message's menu: moves to the message by arrow keys, and to its menu by Tab. */
async function openMenu(page: Page, text: string): Promise<void> {
  const id = (await messageOf(page, text).first().getAttribute('id')) ?? '';
  const row = () => page.evaluate(() => document.activeElement?.closest('li[id]')?.id);
  const numberOf = (name = '') => Number(name.slice('message-'.length));
  await tabTo(page, /^Actions for/, 'Shift+Tab');
  for (let at = await row(); at !== id; at = await row())
    await page.keyboard.press(numberOf(at) > numberOf(id) ? 'ArrowUp' : 'ArrowDown');
  await press(page, 'Actions for');
  await page.locator('.menu').waitFor();
}

describe.skipIf(!hasChromium)('by keyboard alone (skipped without chromium)', { timeout: 120_000 }, () => {
  test('signing up, signing out and resetting the password work', async () => {
    const mails = await startMailServer();
    const { url } = await startTestServer({ env: { SMTP_URL: mails.smtpUrl } });
    const page = await openPage(await openBrowser(), url, { offline: true });
    await signIn(page, 'nobody', 'a wrong password');
    await page.getByRole('alert').filter({ hasText: /./ }).waitFor();
    await checkScreen(page);
    await press(page, 'Sign up');
    expect(await focused(page)).toBe('Username');
    await type(page, 'Username', 'x');
    await type(page, 'Display name', 'Dora');
    await type(page, 'E-mail address', 'dora@example.org');
    await type(page, 'Password', PASSWORD);
    await press(page, 'Sign up');
    await page.getByRole('alert').filter({ hasText: /./ }).waitFor();
    await checkScreen(page);
    await press(page, 'Username', { back: true, key: 'ControlOrMeta+a' });
    await page.keyboard.type('dora');
    await page.keyboard.press('Enter');
    await page.getByText('You are not in any room yet').waitFor();
    await checkScreen(page);
    await press(page, 'Your profile');
    await press(page, 'Sign out');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();

    const confirm = (await mails.next()).token;
    for (const answer of ['Not now', 'Confirm']) {
      await page.goto(`${url}/?verifyEmail=${confirm}`);
      await page.getByText('Confirm your e-mail address?').waitFor();
      await checkScreen(page);
      await press(page, answer);
    }
    await page.getByText('Your e-mail address is confirmed.').waitFor();
    await press(page, 'Dismiss');
    await press(page, 'Reset password');
    await type(page, 'E-mail address of your account', 'dora@example.org');
    await press(page, 'Send me a link');
    await page.getByText('If an account has this address').waitFor();
    await checkScreen(page);
    const reset = (await mails.next()).token;
    await page.goto(`${url}/?resetPassword=${reset}`);
    await press(page, 'Cancel');
    await page.getByLabel('Username or e-mail address').waitFor();
    await page.goto(`${url}/?resetPassword=${reset}`);
    await type(page, 'New password', 'another password');
    await checkScreen(page);
    await press(page, 'Set password');
    await page.getByText('Your password is set.').waitFor();
    await press(page, 'Sign in');
    await signIn(page, 'dora', 'another password');
    await page.getByText('You are not in any room yet').waitFor();
  });

  test('creating, finding and opening rooms works', async () => {
    const { page, ben } = await openAnns();
    const open = (name: string) =>
      ben.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name, memberIds: [], topic: null } });
    await open('An open room');
    await press(page, 'New room');
    await type(page, 'Name', 'A group');
    await type(page, 'Topic', 'This and that');
    await type(page, 'Search people by name', 'ben');
    await page.getByRole('checkbox', { name: /^ben/ }).waitFor();
    await press(page, 'ben', { key: 'Space' });
    await press(page, 'Create', { back: false });
    await page.getByRole('heading', { name: 'A group' }).waitFor();
    await expect.poll(() => focused(page)).toMatch(/^Message to/);
    await press(page, 'New room');
    await type(page, 'Name', 'A place');
    await press(page, 'Anyone can find', { key: 'Space' });
    await press(page, 'Create');
    await page.getByRole('heading', { name: 'A place' }).waitFor();
    await press(page, 'Find rooms');
    await type(page, 'Search rooms by name', 'An open');
    await expect.poll(() => page.getByRole('dialog').locator('li strong').allTextContents()).toEqual(['An open room']);
    await press(page, 'Join');
    await page.getByRole('heading', { name: 'An open room' }).waitFor();
    await press(page, 'Find rooms');
    await type(page, 'Search rooms by name', 'A pla');
    // Until then, the dialog lists the rooms that match the text typed before.
    await expect.poll(() => page.getByRole('dialog').locator('li strong').allTextContents()).toEqual(['A place']);
    await press(page, 'Open');
    await page.getByRole('heading', { name: 'A place' }).waitFor();
    await press(page, 'Friends');
    await type(page, 'Search people by name', 'eve');
    await pressOf(page, 'eve', 'Message');
    await page.getByRole('heading', { name: 'eve' }).waitFor();
  });

  test('writing a message and all its actions work', async () => {
    const { page, ann, ben, room } = await openAnns();
    const linked = await send(ben, room, 'see https://example.org/tea');
    await press(page, /^AA room/);
    await expect.poll(() => focused(page)).toMatch(/^Message to/);
    await type(page, 'Message to', 'one');
    await press(page, 'Send');
    await messageOf(page, 'one').locator('time').waitFor();
    expect(await focused(page)).toMatch(/^Message to/);
    await press(page, 'https://', { back: true, key: 'Shift' });
    await openMenu(page, 'one');
    await checkScreen(page);
    await press(page, 'Edit');
    await expect.poll(() => focused(page)).toMatch(/^Message to/);
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('two');
    await page.keyboard.press('Enter');
    await messageOf(page, 'two').getByText('edited').waitFor();
    await openMenu(page, 'two');
    await press(page, 'Delete');
    await page.getByText('Message deleted.').waitFor();
    // The deleted message has no menu, so Tab must reach that of another one.
    await press(page, 'Actions for message 1', { key: 'Shift' });
    await checkScreen(page);
    await press(page, 'Undo');
    await messageOf(page, 'two').waitFor();
    await openMenu(page, 'see https');
    await press(page, 'React with 👍');
    await press(page, '👍, 1');
    await expect.poll(() => page.getByRole('button', { name: '👍, 1' }).count()).toBe(0);
    await openMenu(page, 'see https');
    await press(page, 'Reply');
    await press(page, 'Cancel reply', { back: true });
    await expect.poll(() => focused(page)).toMatch(/^Message to/);
    await openMenu(page, 'see https');
    await press(page, 'Reply');
    await page.keyboard.type('lovely');
    await page.keyboard.press('Enter');
    await messageOf(page, 'lovely').locator('.quote', { hasText: 'see https' }).waitFor();
    await openMenu(page, 'see https');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.locator('.menu').count()).toBe(0);
    expect(await focused(page)).toMatch(/^Actions for message/);
    await openMenu(page, 'see https');
    await press(page, 'Mark as unread');
    await page.getByRole('link', { name: /A room.*1 unread/ }).waitFor();
    expect(await focused(page)).toMatch(/^Actions for message 1/);
    await ben.ask('mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }', linked);
    await page.locator('#message-1 .deleted').waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('message-1');
    const last = await send(ann, room, 'last');
    await ben.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }', { id: last.id });
    await press(page, 'Read by everyone', { key: 'Escape' });
  });

  test('attaching, viewing and downloading files works', async () => {
    const server = await startTestServer({ env: { MAX_USER_STORAGE_MB: '1' } });
    const { page, ann, room } = await openAnns(server);
    const first = await sendFile(ann, room, textFile('x'.repeat(900_000), 'first.txt'));
    await press(page, /^AA room/);
    // A step back before the field has the focus would enter the history, whose first message then keeps the Tab stop.
    await expect.poll(() => focused(page)).toMatch(/^Message to/);
    const attach = async (...files: TestFile[]) => {
      const choosing = page.waitForEvent('filechooser');
      await press(page, 'Attach files', { back: true });
      const buffers = files.map(({ fileName, mediaType, bytes }) => ({
        ...{ name: fileName, mimeType: mediaType, buffer: bytes },
      }));
      await (await choosing).setFiles(buffers);
      await expect.poll(() => focused(page)).toMatch(/^Message to/);
    };
    await attach(textFile('y'.repeat(200_000), 'second.txt'));
    await page.getByRole('button', { name: /^Try again/ }).waitFor();
    await checkScreen(page);
    await ann.ask('mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }', first);
    await press(page, 'Try again: second.txt', { back: true });
    await attach(textFile('z', 'third.txt'), PNG, { ...PNG, fileName: 'other.png' });
    // During its upload, the button has another name.
    await page.getByRole('button', { name: 'Remove third.txt' }).waitFor();
    await press(page, 'Remove third.txt', { back: true });
    await expect.poll(() => page.getByRole('button', { name: 'Send' }).isEnabled()).toBe(true);
    await checkScreen(page);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'View other.png' }).waitFor();
    await press(page, 'Download second.txt', { back: true, key: 'Shift' });
    await press(page, 'View dot.png', { back: true });
    await press(page, 'Next picture');
    await page.getByRole('dialog', { name: 'other.png' }).waitFor();
    await press(page, 'Previous picture', { back: true });
    await page.getByRole('dialog', { name: 'dot.png' }).waitFor();
    await press(page, 'Download', { back: true, key: 'Shift' });
    await checkScreen(page);
    await page.keyboard.press('Escape');
    expect(await focused(page)).toBe('View dot.png');
    const setPicture = async () => {
      const choosing = page.waitForEvent('filechooser');
      await press(page, 'Add picture');
      await (await choosing).setFiles({ name: 'dot.png', mimeType: 'image/png', buffer: PNG.bytes });
      // The upload and the processing can take longer than Tab takes to pass all controls.
      await page.getByRole('button', { name: 'Remove picture' }).waitFor();
      await press(page, 'Remove picture');
      await expect.poll(() => focused(page)).toBe('Add picture');
    };
    await press(page, 'About this room', { back: true });
    await setPicture();
    await page.keyboard.press('Escape');
    await press(page, 'Your profile', { back: true });
    await setPicture();
  });

  test('opening and removing a link preview works', async () => {
    const { web, urlOf } = await servePages((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<title>A page</title>');
    });
    const { page } = await openAnns(await startTestServer({ web }));
    await press(page, /^AA room/);
    await type(page, 'Message to', `see ${urlOf('/')}`);
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: /A page$/ }).waitFor();
    await press(page, /A page$/, { back: true, key: 'Shift' });
    await checkScreen(page);
    await press(page, 'Remove the preview of A page');
    await expect.poll(() => page.getByRole('link', { name: /A page$/ }).count()).toBe(0);
  });

  test('paging and searching a long history works', async () => {
    const { page, ben, room } = await openAnns();
    await send(ben, room, 'a needle');
    await sendAll(chatOf(ben), room, 100);
    await press(page, /^AA room/);
    await expect.poll(async () => (await bodies(page)).at(-1)).toBe('100');
    await press(page, 'Messages', { key: 'PageUp' });
    await press(page, 'Earlier messages');
    await expect.poll(async () => (await bodies(page)).length).toBeGreaterThan(60);
    // The button disappears once all members are loaded.
    expect(['Earlier messages', 'Messages']).toContain(await focused(page));
    await press(page, 'Newest', { back: (await focused(page)) !== 'Messages' });
    await expect.poll(() => page.getByRole('button', { name: 'Newest' }).count()).toBe(0);
    expect(await focused(page)).toBe('Messages');
    for (const opener of ['Search this room', 'Search messages']) {
      await press(page, opener, { back: true });
      await type(page, 'Search messages', 'needle');
      await page.getByText('1 found').waitFor();
      await checkScreen(page);
      await press(page, /needle/);
      await expect.poll(() => focused(page)).toContain('a needle');
      await press(page, 'Newest', { back: true });
    }
    await page.setViewportSize({ width: 390, height: 740 });
    await press(page, 'All rooms', { back: true });
    await page.getByRole('navigation', { name: 'Rooms' }).waitFor();
  });

  test('managing, leaving and deleting a room works', async () => {
    const { page, server, ben, eve, room } = await openAnns();
    await server.node.database.query(sql`
      WITH crowd AS (
        INSERT INTO users (username, username_key, nickname, nickname_key)
          SELECT 'crowd' || n, 'crowd' || n, 'crowd' || n, 'crowd' || n FROM generate_series(1, 55) n RETURNING id
      )
      INSERT INTO members (chatroom_id, user_id) SELECT ${keyOf('Chatroom', room) ?? ''}::uuid, id FROM crowd`);
    await press(page, /^AA room/);
    await box(page).waitFor();
    await press(page, 'About this room', { back: true });
    await pressOf(page, 'ben', 'Make admin');
    await page.getByRole('button', { name: 'Make member' }).waitFor();
    await press(page, 'More members', { back: true });
    await expect.poll(() => page.getByRole('dialog').getByRole('listitem').count()).toBe(57);
    await press(page, 'Add people');
    await type(page, 'Search people by name', 'eve');
    await page.getByRole('checkbox', { name: /^eve/ }).waitFor();
    await press(page, 'eve', { key: 'Space' });
    await press(page, 'Add members');
    await expect
      .poll(async () => (await eve.ask('{ viewer { chatrooms { nodes { name } } } }')).viewer.chatrooms.nodes)
      .toEqual([{ name: 'A room' }]);
    await press(page, 'Name and topic');
    await type(page, 'Name$', 'A garden');
    await type(page, 'Topic', 'Tomatoes');
    await press(page, 'Save');
    await page.locator('.room-head h1', { hasText: 'A garden' }).waitFor();
    await page.keyboard.press('Escape');
    // The browser restores the focus before it fires the event that removes the dialog. Until then, its opener does nothing.
    await expect.poll(() => page.locator('dialog').count()).toBe(0);
    await press(page, 'About this room');
    await pressOf(page, 'ben', 'Remove');
    await expect
      .poll(async () => (await ben.ask('{ viewer { chatrooms { nodes { id } } } }')).viewer.chatrooms.nodes)
      .toEqual([]);
    await press(page, 'Leave', { back: true });
    await page.getByText('You have left A garden.').waitFor();
    await press(page, 'Undo');
    await press(page, /^AA garden/);
    await box(page).waitFor();
    await press(page, 'About this room', { back: true });
    await press(page, 'Delete this room', { back: true });
    expect(await focused(page)).toBe('Cancel');
    await checkScreen(page);
    await press(page, 'Cancel');
    expect(await focused(page)).toBe('Delete this room for everyone');
    await press(page, 'Delete this room');
    await press(page, 'Delete room', { back: true });
    await page.getByText('Choose a room').waitFor();
    await expect.poll(() => page.getByRole('link', { name: /A garden/ }).count()).toBe(0);
  });

  test('befriending, blocking and unblocking works', async () => {
    const { page, ann, ben, eve } = await openAnns();
    await ann.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
    for (const person of [ben, eve])
      await person.ask('mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }', { id: ann.id });
    await press(page, 'Friends');
    await pressOf(page, 'ben', 'Accept');
    await pressOf(page, 'eve', 'Decline');
    await expect.poll(() => page.getByRole('button', { name: 'Accept' }).count()).toBe(0);
    await pressOf(page, 'ben', 'Unfriend');
    await page.getByText('No friends yet.').waitFor();
    await type(page, 'Search people by name', 'ben');
    await pressOf(page, 'ben', 'Add friend');
    await pressOf(page, 'ben', 'Message');
    await box(page).waitFor();
    await press(page, 'Friends');
    await pressOf(page, 'ben', 'Block');
    await page.getByRole('heading', { name: 'Blocked' }).waitFor();
    await checkScreen(page);
    await pressOf(page, 'ben', 'Unblock');
    await expect.poll(() => page.getByRole('heading', { name: 'Blocked' }).count()).toBe(0);
    await type(page, 'Search people by name', 'ben');
    await pressOf(page, 'ben', 'Block');
    await page.keyboard.press('Escape');
    await page.getByText('You have blocked').waitFor();
    await checkScreen(page);
    await press(page, 'Unblock');
    await box(page).waitFor();
    // A refused message can be sent again or discarded.
    await ben.ask('mutation ($id: ID!) { blockUser(input: { userId: $id }) { user { id } } }', { id: ann.id });
    await type(page, 'Message to', 'Are you there?');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Try again' }).waitFor();
    await checkScreen(page);
    await press(page, 'Try again', { back: true });
    await page.getByRole('button', { name: 'Discard' }).waitFor();
    await press(page, 'Discard', { back: true });
    await expect.poll(() => bodies(page)).toEqual([]);
    await press(page, 'About this room', { back: true });
    await press(page, 'Hide this conversation');
    await page.getByText('Hidden until the next message').waitFor();
    await page.goto(page.url().replace(/#.*/, '#/room/nothing'));
    await page.getByText('This room does not exist').waitFor();
    await checkScreen(page);
    await press(page, 'All rooms');
  });

  test('changing the profile, the password and the sessions works', async () => {
    const { page, server, ann } = await openAnns();
    await openPage(await openBrowser(), server.url).then((other) => signIn(other, 'ann'));
    await press(page, 'Your profile');
    await type(page, 'Display name', 'Ann of the hill');
    await type(page, 'About you', 'Waters tomatoes');
    await type(page, 'E-mail address', 'ann@example.org');
    await type(page, 'Current password, to', PASSWORD);
    await press(page, 'Ask me before', { key: 'Space' });
    await press(page, 'Save');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
    await expect.poll(() => focused(page)).toMatch(/^Your profile/);
    expect((await ann.ask('{ viewer { email friendPolicy user { nickname bio } } }')).viewer).toEqual({
      email: 'ann@example.org',
      friendPolicy: 'APPROVAL',
      user: { nickname: 'Ann of the hill', bio: 'Waters tomatoes' },
    });
    await page.keyboard.press('Enter');
    await press(page, 'Notify me');
    await press(page, 'Where you are signed in');
    await page.getByText('This browser').waitFor();
    const others = page.getByRole('button', { name: /^Sign out / });
    const count = await others.count();
    expect(count).toBeGreaterThan(0);
    await checkScreen(page);
    await press(page, 'Sign out Chrome');
    await expect.poll(() => others.count()).toBe(count - 1);
    await press(page, 'Change your password', { back: true });
    await type(page, 'Current password', PASSWORD);
    await type(page, 'New password', 'another password');
    await press(page, 'Change password');
    await page.getByText('Your password was changed.').waitFor();
    await checkScreen(page);
  });

  test('each dialog closes by Escape or button and restores the focus', async () => {
    const { page } = await openAnns();
    await press(page, /^AA room/);
    await expect.poll(() => focused(page)).toMatch(/^Message to/);
    const openers = [/^Your profile/, /^Search messages/, /^Friends/, /^Find rooms/, /^New room/];
    for (const opener of [...openers, /^Search this room/, /^About this room/])
      for (const leave of [() => page.keyboard.press('Escape'), () => press(page, 'Close', { back: true })]) {
        await press(page, opener);
        await page.getByRole('dialog').waitFor();
        await checkScreen(page);
        await leave();
        await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
        await expect.poll(() => focused(page)).toMatch(opener);
      }
  });

  test('loading more rooms and dismissing a notice works', async () => {
    const { page, server, ann } = await openAnns(await startTestServer({ env: { RATE_PER_USER: '100000' } }));
    for (let i = 0; i < 51; i += 1)
      await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: `Room ${i}`, memberIds: [] } });
    await page.reload();
    const rooms = page.getByRole('navigation', { name: 'Rooms' }).getByRole('listitem');
    await expect.poll(() => rooms.count()).toBe(50);
    await press(page, 'More rooms', { back: true });
    await expect.poll(() => rooms.count()).toBe(52);
    await page.goto(
      `${server.url}/#/room/${(await rooms.first().getByRole('link').getAttribute('href'))?.slice(7)}/99`,
    );
    await page.getByText('This message does not exist').waitFor();
    await checkScreen(page);
    await press(page, 'Dismiss');
  });

  test('demo users sign in', async () => {
    const server = await startTestServer();
    const { database, passwords } = server.node;
    await seedDemo({ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) });
    const page = await openPage(await openBrowser(), server.url);
    await page.getByText('Try the demo as').waitFor();
    await press(page, /Ann$/);
    await page.getByRole('navigation', { name: 'Rooms' }).waitFor();
  });

  test('the tests above use every control of the page', () =>
    // The page for admins has its own suite.
    expectAllUsed(CONTROLS, (file) => !file.startsWith('admin/')));
});
