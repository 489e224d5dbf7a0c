import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { CREATE_CHATROOM, send } from '../support/world.ts';
import { chatOf, sendAll } from '../clients/chatOf.ts';
import { tabTo, violations } from './access.ts';
import { act, bodies, box, hasChromium, messageOf, openPageOfAnn, openRoom, write } from './browser.ts';

const STORED = 'query ($id: ID!) { chatroom(id: $id) { messages(last: 9) { nodes { body deletedAt } } } }';

async function annsRoom() {
  const people = await openPageOfAnn({ permissions: ['notifications'] });
  const stored = async () => (await people.ben.ask(STORED, { id: people.room })).chatroom?.messages?.nodes as any[];
  return { ...people, stored };
}

const undo = (page: Page) => page.getByRole('button', { name: 'Undo' });

describe.skipIf(!hasChromium)('the page (skipped without chromium)', { timeout: 120_000 }, () => {
  test('a deletion can be undone for a limited time', async () => {
    const { page, stored } = await annsRoom();
    await write(page, 'to be deleted');
    await messageOf(page, 'to be deleted').locator('time').waitFor();
    await act(page, 'to be deleted', 'Delete');
    await expect.poll(() => bodies(page)).toEqual(['Message deleted']);
    expect((await stored())[0].deletedAt).toBeNull();
    await undo(page).click();
    await expect.poll(() => bodies(page)).toEqual(['to be deleted']);
    expect((await stored())[0].deletedAt).toBeNull();
    await act(page, 'to be deleted', 'Delete');
    await undo(page).waitFor();
    expect(await violations(page)).toEqual([]);
    // The time to undo the deletion expires.
    await page.mouse.move(0, 0);
    await expect.poll(async () => (await stored())[0].deletedAt).not.toBeNull();
    expect(await bodies(page)).toEqual(['Message deleted']);
  });

  test('a deletion is executed when the page is left', async () => {
    const { page, stored } = await annsRoom();
    await write(page, 'to be deleted');
    await messageOf(page, 'to be deleted').locator('time').waitFor();
    await act(page, 'to be deleted', 'Delete');
    await undo(page).waitFor();
    await page.goto('about:blank');
    await expect.poll(async () => (await stored())[0].deletedAt).not.toBeNull();
  });

  test('leaving a room can be undone by keyboard', async () => {
    const { page, ann, room } = await annsRoom();
    const rooms = page.getByRole('navigation', { name: 'Rooms' }).getByRole('link');
    await page.getByRole('button', { name: 'About this room' }).click();
    await page.getByRole('button', { name: 'Leave' }).click();
    await expect.poll(() => rooms.count()).toBe(0);
    await tabTo(page, 'Undo');
    await page.keyboard.press('Enter');
    await expect.poll(() => rooms.count()).toBe(1);
    expect(
      (await ann.ask('query ($id: ID!) { chatroom(id: $id) { viewerMembership { id } } }', { id: room })).chatroom
        .viewerMembership,
    ).not.toBeNull();
  });

  test('a draft survives another room, an edit and a reload', async () => {
    const { page, ann, ben } = await annsRoom();
    await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } });
    await write(page, 'said');
    await messageOf(page, 'said').locator('time').waitFor();
    await box(page).fill('half a thou');
    await act(page, 'said', 'Edit');
    expect(await box(page).inputValue()).toBe('said');
    await page.getByRole('button', { name: 'Cancel edit' }).click();
    expect(await box(page).inputValue()).toBe('half a thou');
    await openRoom(page, /^ben/);
    await expect.poll(() => box(page).inputValue()).toBe('');
    await openRoom(page, /A room/);
    await expect.poll(() => box(page).inputValue()).toBe('half a thou');
    await page.reload();
    await expect.poll(() => box(page).inputValue()).toBe('half a thou');
    await box(page).press('Enter');
    await expect.poll(() => bodies(page)).toEqual(['said', 'half a thou']);
    await expect.poll(() => page.evaluate(() => JSON.stringify(localStorage))).not.toContain('thou');
  });

  test('a search hit opens the message within its context', async () => {
    const { page, ben, room } = await annsRoom();
    await send(ben, room, 'a needle');
    await sendAll(chatOf(ben), room, 100);
    await page.getByRole('button', { name: 'Search this room' }).click();
    await page.getByRole('searchbox').fill('needle');
    await page.getByRole('link', { name: /a needle/ }).click();
    const found = messageOf(page, 'a needle');
    await found.waitFor();
    await expect.poll(() => found.evaluate((row) => row === document.activeElement)).toBe(true);
    expect((await bodies(page)).slice(0, 3)).toEqual(['a needle', '1', '2']);
    await page.getByRole('button', { name: 'Newest' }).click();
    await expect.poll(async () => (await bodies(page)).at(-1)).toBe('100');
  });

  test('the title counts unread messages, and a hidden page shows notifications', async () => {
    const { page, ben, room } = await annsRoom();
    await page.evaluate(() => {
      const notified: string[] = [];
      class Recorded {
        static permission = 'granted';
        constructor(title: string, { body }: { body: string }) {
          notified.push(`${title}: ${body}`);
        }
      }
      Object.assign(window, { Notification: Recorded, notified });
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await send(ben, room, 'are you there?');
    await expect.poll(() => page.title()).toBe('(1) Parley');
    expect(await page.locator('link[rel=icon]').getAttribute('href')).toBe('/icon-unread.svg');
    await expect.poll(() => page.evaluate('notified')).toEqual(['ben in A room: are you there?']);
    await page.evaluate(() => {
      Reflect.deleteProperty(document, 'visibilityState');
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await expect.poll(() => page.title()).toBe('Parley');
  });
});
