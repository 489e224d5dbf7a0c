import { describe, expect, test } from 'vitest';
import { send } from '../support/world.ts';
import { act, bodies, box, hasChromium, messageOf, openPageOfAnn, write } from './browser.ts';

const TOO_LONG = 'x'.repeat(10_003);

const annsRoom = () => openPageOfAnn({ viewport: { width: 1000, height: 740 } });

describe.skipIf(!hasChromium)('composing in a browser (skipped without chromium)', { timeout: 120_000 }, () => {
  test('message menus fit on screens of 320 to 768 px', async () => {
    const { page, ben, room } = await annsRoom();
    await send(ben, room, 'short');
    await write(page, `mine, ${'and long '.repeat(30)}`);
    await write(page, 'mine too');
    await messageOf(page, 'mine too').locator('time').waitFor();
    for (const width of [320, 390, 430, 768]) {
      await page.setViewportSize({ width, height: 740 });
      for (const text of ['short', 'and long', 'mine too']) {
        await messageOf(page, text).hover();
        const opener = messageOf(page, text).getByRole('button', { name: /^Actions for message/ });
        await opener.click();
        const menu = await page.locator('.menu').boundingBox();
        expect(menu?.x).toBeGreaterThanOrEqual(0);
        expect(menu!.x + menu!.width).toBeLessThanOrEqual(width);
        expect(menu?.y).toBeGreaterThanOrEqual(0);
        expect(menu!.y + menu!.height).toBeLessThanOrEqual(740);
        // A second click closes the menu.
        await opener.click();
        await expect.poll(() => page.locator('.menu').count()).toBe(0);
      }
    }
  });

  test('a pasted text that is too long is refused, not truncated', async () => {
    const { page } = await annsRoom();
    await box(page).fill(TOO_LONG);
    await page.getByText('10,003 of 10,000 characters').waitFor();
    await page.getByRole('alert').filter({ hasText: 'This message is 3 characters too long. Shorten it' }).waitFor();
    await box(page).press('Enter');
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
    expect(await box(page).inputValue()).toBe(TOO_LONG);
    await box(page).fill(TOO_LONG.slice(3));
    await box(page).press('Enter');
    await expect.poll(async () => (await bodies(page)).map(({ length }) => length)).toEqual([10_000]);
  });

  test('the composer bar names an edit and a reply', async () => {
    const { page } = await annsRoom();
    await write(page, 'first');
    await messageOf(page, 'first').locator('time').waitFor();
    await act(page, 'first', 'Reply');
    await page.locator('.draft', { hasText: 'Reply to ann' }).waitFor();
    await page.getByRole('button', { name: 'Cancel reply' }).click();
    await act(page, 'first', 'Edit');
    await page.locator('.draft', { hasText: 'Edit your message' }).waitFor();
    await box(page).fill('second');
    await page.getByRole('button', { name: 'Save edit' }).click();
    await expect.poll(() => bodies(page)).toEqual(['second']);
  });
});
