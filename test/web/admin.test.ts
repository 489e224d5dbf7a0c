import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { grantAdmin } from '../../src/auth/admins.ts';
import { createServiceToken } from '../../src/auth/serviceTokens.ts';
import { storeUsers } from '../../src/cli/import/bulkInsert.ts';
import { keyOf } from '../../src/core/globalIds.ts';
import { PASSWORD, request, signUp } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { focused, violations } from './access.ts';
import { hasChromium, openBrowser, openPage } from './browser.ts';
import { createKeyboard } from './keyboard.ts';

/** Accessible names of all controls of the page, by source file. */
const CONTROLS: Record<string, RegExp[]> = {
  'admin/AdminApp.tsx': [/^Chat$/, /^Sign out$/, /^Services$/],
  'admin/Audit.tsx': [/^Audit log$/],
  'admin/Health.tsx': [/^Check again$/],
  'admin/MoreButton.tsx': [/^Show more$/],
  'admin/ReasonDialog.tsx': [/^Reason$/, /^Suspend ann$/],
  'admin/Rooms.tsx': [/^Check$/],
  'admin/SearchField.tsx': [/^Find users$/, /^Search$/],
  'admin/Services.tsx': [/^Create a token$/, /^Revoke$/, /^Name of the service$/, /^messages:write/],
  'admin/UserSessions.tsx': [/^End the session of /],
  'admin/Users.tsx': [/^Create a user$/, /^Sessions$/, /^Suspend$/, /^Username$/, /^E-mail address$/],
  'admin/Webhooks.tsx': [/^Load again$/],
};
const { press, type, pressOf, expectAllUsed } = createKeyboard();

const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }`;
const NOTICE = 'mutation { sendSystemMessage(input: { userId: "nobody", body: "x" }) { __typename } }';

/** Signs in on the page for admins. */
async function signIn(page: Page, username: string): Promise<void> {
  await page.getByLabel('Username or e-mail address').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

/** Opens the page as the admin root, of a server with the users ann and ben. */
async function openAsRoot(options = {}) {
  const server = await startTestServer();
  const people = await world(server);
  const root = await signUp(server.url, 'root');
  await grantAdmin(server.node.database, keyOf('User', root.id) ?? '');
  const browser = await openBrowser();
  const page = await openPage(browser, `${server.url}/admin`, options);
  await signIn(page, 'root');
  await page.getByRole('heading', { name: 'Users' }).waitFor();
  const code = async (query: string, variables: object, headers = {}) =>
    (await request(server.url, query, variables, headers)).errors?.[0]?.extensions.code;
  return { ...people, server, browser, page, code };
}

/** Confirms the open dialog with a reason. */
async function confirm(page: Page, name: string, reason = 'a test'): Promise<void> {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill(reason);
  await dialog.getByRole('button', { name, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
}

describe.skipIf(!hasChromium)('the page for admins (skipped without chromium)', { timeout: 120_000 }, () => {
  test('shows nothing to users without the grant', async () => {
    const server = await startTestServer();
    await world(server);
    const page = await openPage(await openBrowser(), `${server.url}/admin`);
    await signIn(page, 'ann');
    await page.getByText('You are not an admin of this server.').waitFor();
    expect(await page.getByRole('navigation').count()).toBe(0);
  });

  test('finds, suspends and restores a user, and records why', async () => {
    const { page, code } = await openAsRoot();
    await page.getByLabel('Find users').fill('an');
    await page.getByRole('button', { name: 'Search' }).click();
    const ann = page.getByRole('listitem').filter({ hasText: '@ann' });
    await expect.poll(() => page.getByRole('listitem').count()).toBe(1);
    await ann.getByRole('button', { name: 'Sessions' }).click();
    await ann.getByText(/Last used/).waitFor();
    await ann.getByRole('button', { name: 'Suspend' }).click();
    await confirm(page, 'Suspend ann', 'spam');
    await ann.getByText(/suspended/).waitFor();
    const input = { usernameOrEmail: 'ann', password: PASSWORD };
    expect(await code(SIGN_IN, { input })).toBe('FORBIDDEN');
    await ann.getByRole('button', { name: 'Restore' }).click();
    await confirm(page, 'Restore ann', 'a mistake');
    await expect.poll(() => code(SIGN_IN, { input })).toBeUndefined();
    await page.getByRole('link', { name: 'Audit log' }).click();
    await page.getByRole('row', { name: /adminRestoreUser ann a mistake/ }).waitFor();
    await page.getByRole('row', { name: /adminSuspendUser ann spam/ }).waitFor();
  });

  test('shows the users after the first page, each once', async () => {
    const { page, server } = await openAsRoot();
    const crowd = Array.from({ length: 25 }, (_, i) => ({ id: crypto.randomUUID(), name: `crowd${i}`, suffix: 'x' }));
    await storeUsers(server.node.database, crowd);
    await page.getByLabel('Find users').fill('crowd');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('button', { name: 'Show more' }).click();
    await expect.poll(() => page.getByRole('listitem').count()).toBe(25);
    const names = await page.getByText(/^@crowd/).allInnerTexts();
    expect(new Set(names).size).toBe(25);
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
  });

  test('works by keyboard alone, and keeps the focus', async () => {
    const { page, server } = await openAsRoot();
    const crowd = Array.from({ length: 25 }, (_, i) => ({ id: crypto.randomUUID(), name: `crowd${i}`, suffix: 'x' }));
    await storeUsers(server.node.database, crowd);
    const dialog = page.getByRole('dialog');
    const confirmByKeyboard = async (name: string) => {
      await type(page, 'Reason', 'a test');
      await press(page, new RegExp(`^${name}$`));
      await dialog.waitFor({ state: 'detached' });
    };
    await type(page, 'Find users', 'crowd');
    await press(page, 'Search');
    await page.getByRole('button', { name: 'Show more' }).waitFor();
    await press(page, 'Show more', { back: true });
    await expect.poll(() => focused(page)).toBe('All are shown');
    await type(page, 'Find users', 'ann');
    await press(page, 'Search');
    await expect.poll(() => page.getByRole('group').count()).toBe(1);
    await pressOf(page, 'ann', 'Suspend');
    await confirmByKeyboard('Suspend ann');
    await expect.poll(() => focused(page)).toBe('Restore');
    await page.keyboard.press('Enter');
    await confirmByKeyboard('Restore ann');
    await expect.poll(() => focused(page)).toBe('Suspend');
    await type(page, 'Find users', 'ben');
    await press(page, 'Search');
    await page.getByRole('group', { name: 'ben' }).waitFor();
    await pressOf(page, 'ben', 'Sessions');
    await page.getByRole('button', { name: /^End the session/ }).waitFor();
    await press(page, 'End the session of ');
    await confirmByKeyboard('End the session');
    await expect.poll(() => focused(page)).toBe('Users');
    await press(page, 'Create a user');
    await type(page, 'Username', 'dora');
    await type(page, 'E-mail address', 'dora@example.org');
    await confirmByKeyboard('Create a user');
    await page.getByText('The password of dora is not shown again').waitFor();
    await expect.poll(() => focused(page)).toBe('Create a user');

    await press(page, /^Services$/);
    await press(page, 'Create a token');
    await type(page, 'Name of the service', 'shop');
    await press(page, 'messages:write', { key: 'Space' });
    await confirmByKeyboard('Create a token');
    await press(page, 'Revoke');
    await confirmByKeyboard('Revoke the token of shop');
    await expect.poll(() => focused(page)).toBe('Services');
    await press(page, /^Rooms$/, { back: true });
    await page.getByRole('button', { name: 'Check' }).waitFor();
    await press(page, /^Check$/);
    await page.getByText('No inconsistencies').waitFor();
    await press(page, /^Webhooks$/);
    await page.getByText('No service has a webhook.').waitFor();
    await press(page, 'Load again');
    await press(page, /^Health$/);
    await page.getByText(/fsync/).waitFor();
    await press(page, 'Check again');
    await press(page, /^Audit log$/);
    const table = page.getByRole('region', { name: 'Audit log' });
    await table.waitFor();
    await page.keyboard.press('Tab');
    await expect.poll(() => table.evaluate((element) => element === document.activeElement)).toBe(true);
    await press(page, 'Chat', { key: 'Shift' });
    await press(page, 'Sign out');
    await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
    await expectAllUsed(CONTROLS, (file) => file.startsWith('admin/'));
  });

  test('creates and revokes the token of a service', async () => {
    const { page, code } = await openAsRoot();
    await page.getByRole('link', { name: 'Services' }).click();
    await page.getByRole('button', { name: 'Create a token' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name of the service').fill('shop');
    await dialog.getByRole('checkbox', { name: /messages:write/ }).check();
    await confirm(page, 'Create a token');
    const token = await page.locator('.admin-secret code').innerText();
    const notify = () => code(NOTICE, {}, { authorization: `Bearer ${token}` });
    expect(await notify()).toBe('NOT_FOUND');
    await page.getByRole('button', { name: 'Revoke' }).click();
    await confirm(page, 'Revoke the token of shop');
    await page.getByText('No service has a token.').waitFor();
    expect(await notify()).toBe('UNAUTHENTICATED');
  });

  test('shows the webhooks of all services', async () => {
    const { page, server } = await openAsRoot();
    const token = await createServiceToken(server.node.database, 'shop', ['webhooks:write']);
    const input = { name: 'orders', url: 'https://127.0.0.1:9/', events: ['MESSAGE_ADDED'] };
    const CREATE = 'mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { secret } }';
    await page.getByRole('link', { name: 'Webhooks' }).click();
    await page.getByText('No service has a webhook.').waitFor();
    const headers = { authorization: `Bearer ${token}` };
    const refused = await request(server.url, CREATE, { input }, headers);
    expect(refused.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    const made = await request(server.url, CREATE, { input: { ...input, url: 'https://example.org/' } }, headers);
    expect(made.errors).toBeUndefined();
    await page.getByRole('button', { name: 'Load again' }).click();
    await page.getByText('shop: orders').waitFor();
    await page.getByText(/active · 0 events wait/).waitFor();
  });

  test.each([
    ['wide', { viewport: { width: 1_280, height: 800 } }],
    ['narrow and dark', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }],
  ])('is accessible in every section, %s', async (_, options) => {
    const { page } = await openAsRoot(options);
    for (const name of ['Users', 'Rooms', 'Services', 'Webhooks', 'Health', 'Audit log']) {
      await page.getByRole('link', { name, exact: true }).click();
      await page.getByRole('heading', { name, exact: true }).waitFor();
      if (name === 'Rooms') {
        await page.getByRole('button', { name: 'Check' }).first().click();
        await page.getByText('No inconsistencies').waitFor();
      }
      if (name === 'Health') await page.getByText(/fsync/).waitFor();
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(options.viewport.width);
      const folder = process.env['SCREENSHOTS'];
      if (folder) await page.screenshot({ path: `${folder}/admin ${name} ${options.viewport.width}.png` });
    }
  });
});
