import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { photo, quarters, stored, taken } from '../files/inputs.ts';
import { startInfectedClamd } from '../support/clamd.ts';
import { get, PNG, sendFile, type TestFile, textFile } from '../support/files.ts';
import { freePort } from '../support/ports.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { focused, tabTo, violations } from './access.ts';
import { bodies, box, enter, hasChromium, messageOf, openBrowser, openPage, openRoom } from './browser.ts';

const NARROW = { viewport: { width: 360, height: 740 } };
const DELETE = 'mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }';

/** A file as the browser's file dialog returns it. */
const chosen = ({ fileName, mediaType, bytes }: TestFile) => ({ name: fileName, mimeType: mediaType, buffer: bytes });

async function jpeg(fileName: string, width = 640, height = 480): Promise<TestFile> {
  return { fileName, mediaType: 'image/jpeg', bytes: await photo(width, height).jpeg().toBuffer() };
}

/** Opens a window for ann, and one for ben on request, in the room that they share. */
async function annsRoom({ env = {}, options = {} }: { env?: Record<string, string>; options?: object } = {}) {
  const server = await startTestServer({ env });
  const people = await world(server);
  const browser = await openBrowser();
  const open = async (name: string) => {
    const page = await openPage(browser, server.url, options);
    await enter(page, name);
    await openRoom(page, /A room/);
    await page.getByRole('button', { name: 'Attach files' }).waitFor();
    return page;
  };
  return { ...people, server, page: await open('ann'), openBens: () => open('ben') };
}

const choose = (page: Page, ...files: TestFile[]) =>
  page.locator('.composer input[type=file]').setInputFiles(files.map(chosen));
const pendingOf = (page: Page) => page.getByRole('list', { name: 'Files to send' }).getByRole('listitem');
const sendButton = (page: Page) => page.getByRole('button', { name: 'Send' });
const sizeOf = async (page: Page) => page.evaluate(() => document.documentElement.scrollWidth);

/** Waits until the uploads are complete, and sends them. */
async function sendPending(page: Page): Promise<void> {
  await expect.poll(() => sendButton(page).isEnabled()).toBe(true);
  await sendButton(page).click();
}

/** Passes files to the handlers of a drop or paste, as a browser does. */
async function transfer(page: Page, type: 'drop' | 'paste', names: string[]): Promise<void> {
  const selector = type === 'drop' ? '.history' : '.composer textarea';
  await page.locator(selector).evaluate(
    (element, [kind, files]) => {
      const data = new DataTransfer();
      for (const name of files) data.items.add(new File([`content of ${name}`], name, { type: 'text/plain' }));
      const init = { bubbles: true, cancelable: true };
      const event =
        kind === 'drop'
          ? new DragEvent('drop', { ...init, dataTransfer: data })
          : new ClipboardEvent('paste', { ...init, clipboardData: data });
      element.dispatchEvent(event);
    },
    [type, names] as const,
  );
}

/** Returns the colours in the quarters of a displayed image: top left, top right, bottom left, bottom right. */
function displayedColours(page: Page): Promise<string[]> {
  return page
    .locator('.pictures img')
    .last()
    .evaluate(async (image: HTMLImageElement) => {
      await image.decode();
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext('2d', { willReadFrequently: true })!;
      context.drawImage(image, 0, 0);
      const at = (x: number, y: number) => {
        const { data } = context.getImageData(x * canvas.width, y * canvas.height, 1, 1);
        return [...data.slice(0, 3)].map((value) => (value > 127 ? '1' : '0')).join('');
      };
      return [at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75), at(0.75, 0.75)];
    });
}

describe.skipIf(!hasChromium)('files in a browser (skipped without chromium)', { timeout: 120_000 }, () => {
  test('a photo of a phone arrives upright and without its place', async () => {
    const { page, ben, openBens } = await annsRoom();
    const bens = await openBens();
    // 12 megapixels.
    const bytes = await taken(await stored(quarters(3_000, 4_000), 6), 6)
      .jpeg()
      .toBuffer();
    expect((await sharp(bytes).metadata()).exif?.length).toBeGreaterThan(0);
    await choose(page, { fileName: 'holiday.jpg', mediaType: 'image/jpeg', bytes });
    await pendingOf(page).getByText('holiday.jpg').waitFor();
    await sendPending(page);
    await bens.getByRole('button', { name: 'View holiday.jpg' }).waitFor();
    for (const each of [page, bens])
      await expect.poll(() => displayedColours(each)).toEqual(['100', '010', '001', '111']);
    const image = bens.locator('.pictures img');
    const { width = 0, height = 0 } = (await image.boundingBox()) ?? {};
    expect(height / width).toBeCloseTo(4 / 3, 1);
    expect(await image.getAttribute('alt')).toBe('holiday.jpg');
    await bens.getByRole('button', { name: 'View holiday.jpg' }).click();
    const url = await bens.getByRole('link', { name: 'Download' }).getAttribute('href');
    const original = Buffer.from(await (await get(ben, url ?? '')).arrayBuffer());
    const { exif, width: served } = await sharp(original).metadata();
    expect([exif, served]).toEqual([undefined, 3_000]);
  });

  test('a picture has its space before it is loaded', async () => {
    const { page, ann, room, openBens } = await annsRoom();
    let release = () => undefined as void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const bens = await openBens();
    await bens.route(/\/files\/.*\/(preview|thumbnail)$/, async (route) => {
      await released;
      await route.continue();
    });
    await sendFile(ann, room, await jpeg('wide.jpg', 900, 500), { body: 'the hill' });
    const image = messageOf(bens, 'the hill').locator('img');
    await image.waitFor();
    await messageOf(bens, 'the hill').locator('canvas').waitFor();
    const before = await image.boundingBox();
    expect(before!.width / before!.height).toBeCloseTo(1.8, 1);
    release();
    await expect.poll(() => messageOf(bens, 'the hill').locator('canvas').count()).toBe(0);
    expect(await image.boundingBox()).toEqual(before);
    expect(await bodies(page)).toEqual(['the hill']);
  });

  test('an upload shows its progress and can be cancelled', async () => {
    const { page } = await annsRoom();
    await page.route('**/files/uploads/**', () => undefined);
    await choose(page, textFile('one', 'one.txt'));
    await page.getByRole('progressbar', { name: 'Upload of one.txt' }).waitFor();
    expect(await sendButton(page).isDisabled()).toBe(true);
    await box(page).fill('with a file');
    await box(page).press('Enter');
    expect(await bodies(page)).toEqual([]);
    await page.getByRole('button', { name: 'Cancel the upload of one.txt' }).click();
    await expect.poll(() => pendingOf(page).count()).toBe(0);
    expect(await focused(page)).toMatch(/^Message to/);
    await box(page).press('Enter');
    await messageOf(page, 'with a file').locator('time').waitFor();
    expect(await page.getByRole('list', { name: 'Files' }).count()).toBe(0);
  });

  test('a refused upload shows the reason, and is retried or removed', async () => {
    const { page, ann, room } = await annsRoom({ env: { MAX_FILE_MB: '1', MAX_USER_STORAGE_MB: '1' } });
    const half = textFile('x'.repeat(600_000), 'half.txt');
    const { id } = await sendFile(ann, room, half, { body: 'first' });
    await choose(page, half, textFile('x'.repeat(1_200_000), 'large.txt'), {
      ...textFile('no picture', 'fake.png'),
      mediaType: 'image/png',
    });
    const alertOf = (name: string) => pendingOf(page).filter({ hasText: name }).getByRole('alert');
    await expect.poll(() => alertOf('half.txt').textContent()).toMatch(/^Your files need more storage than you have/);
    await expect
      .poll(() => alertOf('large.txt').textContent())
      .toMatch(/^The file is too large\. Choose a file of at most 1 MB\./);
    await expect.poll(() => alertOf('fake.png').textContent()).toMatch(/^The content of this file does not fit/);
    expect(await violations(page)).toEqual([]);
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(1);
    expect(await sendButton(page).isDisabled()).toBe(true);
    for (const name of ['large.txt', 'fake.png']) await page.getByRole('button', { name: `Remove ${name}` }).click();
    await ann.ask(DELETE, { id });
    await page.getByRole('button', { name: 'Try again: half.txt' }).click();
    await sendPending(page);
    await page.getByRole('link', { name: /^Download half.txt/ }).waitFor();
  });

  test('a damaged picture shows the reason before the send, and a removed file is deleted', async () => {
    const { page, ann } = await annsRoom();
    const usedBytes = async () => (await ann.ask('{ viewer { storage { usedBytes } } }')).viewer.storage.usedBytes;
    await choose(
      page,
      { ...PNG, fileName: 'damaged.png', bytes: PNG.bytes.subarray(0, 45) },
      textFile('one', 'one.txt'),
    );
    await expect
      .poll(() => pendingOf(page).getByRole('alert').allInnerTexts())
      .toEqual([expect.stringMatching(/^This file is damaged/)]);
    expect(await sendButton(page).isDisabled()).toBe(true);
    await expect.poll(usedBytes).toBe(3);
    for (const name of ['damaged.png', 'one.txt']) await page.getByRole('button', { name: `Remove ${name}` }).click();
    await expect.poll(usedBytes).toBe(0);
    // A file that is sent leaves the list, and stays on the server.
    await choose(page, textFile('sent', 'sent.txt'));
    await sendPending(page);
    await page.getByRole('link', { name: /^Download sent.txt/ }).waitFor();
    expect([await usedBytes(), await pendingOf(page).count()]).toEqual([4, 0]);
  });

  test('dropped and pasted files are attached, at most 10', async () => {
    const { page } = await annsRoom();
    await transfer(page, 'paste', ['pasted.txt']);
    await transfer(page, 'drop', ['dropped.txt', 'second.txt']);
    await expect
      .poll(() => pendingOf(page).locator('strong').allTextContents())
      .toEqual(['pasted.txt', 'dropped.txt', 'second.txt']);
    await transfer(
      page,
      'drop',
      Array.from({ length: 9 }, (_, i) => `${i}.txt`),
    );
    await expect.poll(() => pendingOf(page).count()).toBe(10);
    await page.getByText('at most 10 files. 2 files were left out').waitFor();
    await sendPending(page);
    await expect.poll(() => page.getByRole('link', { name: /^Download/ }).count()).toBe(10);
    // A dialog covers the room.
    await page.getByRole('button', { name: 'About this room' }).click();
    await page.getByRole('dialog').waitFor();
    await page.getByRole('dialog').evaluate((dialog) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['x'], 'x.txt'));
      dialog.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }));
    });
    await page.keyboard.press('Escape');
    expect(await pendingOf(page).count()).toBe(0);
  });

  test('pending files stay while another room is open', async () => {
    const { page, ann } = await annsRoom();
    await ann.ask(
      `mutation { createChatroom(input: { kind: GROUP, name: "Elsewhere", memberIds: [] }) { chatroom { id } } }`,
    );
    await choose(page, textFile('one', 'one.txt'));
    await openRoom(page, /Elsewhere/);
    expect(await pendingOf(page).count()).toBe(0);
    await openRoom(page, /A room/);
    await sendPending(page);
    await page.getByRole('link', { name: /^Download one.txt/ }).waitFor();
  });

  test('the viewer of pictures works by keyboard', async () => {
    const { page } = await annsRoom();
    const names = ['1.jpg', '2.jpg', '3.jpg', '4.jpg', '5.jpg', '6.jpg'];
    await choose(page, ...(await Promise.all(names.map((name) => jpeg(name)))));
    await sendPending(page);
    await page.getByRole('button', { name: 'View 4.jpg and 2 more' }).waitFor();
    await expect.poll(() => page.locator('.pictures canvas').count()).toBe(0);
    expect(await violations(page)).toEqual([]);
    await tabTo(page, 'View 2.jpg', 'Shift+Tab');
    await page.keyboard.press('Enter');
    const dialog = (name: string) => page.getByRole('dialog', { name });
    await dialog('2.jpg').getByRole('img', { name: '2.jpg' }).waitFor();
    await expect.poll(() => dialog('2.jpg').locator('canvas').count()).toBe(0);
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press('ArrowRight');
    await dialog('3.jpg').getByText('3 of 6').waitFor();
    for (let i = 0; i < 5; i += 1) await page.keyboard.press('ArrowRight');
    await dialog('6.jpg').waitFor();
    await page.keyboard.press('ArrowLeft');
    await dialog('5.jpg').waitFor();
    await tabTo(page, 'Download');
    const downloading = page.waitForEvent('download');
    await page.keyboard.press('Enter');
    expect((await downloading).suggestedFilename()).toBe('5.jpg');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
    expect(await focused(page)).toBe('View 2.jpg');
  });

  test('an unchecked file is marked, and its uploader sees why it is refused', async () => {
    const port = await freePort();
    const { page, openBens } = await annsRoom({ env: { CLAMAV: `127.0.0.1:${port}` } });
    const bens = await openBens();
    await choose(page, textFile('a virus', 'note.txt'), PNG);
    await sendPending(page);
    for (const each of [page, bens]) await expect.poll(() => each.getByText('Being checked…').count()).toBe(2);
    expect(await violations(page)).toEqual([]);
    await startInfectedClamd(port);
    await expect.poll(() => page.getByText('A virus was found in this file.').count()).toBe(2);
    await expect.poll(() => bens.getByText('This file was refused.').count()).toBe(2);
    expect(await bens.getByText('virus').count()).toBe(0);
  });

  test('a voice message of the browser shows its duration', async () => {
    const { page, openBens } = await annsRoom();
    const bens = await openBens();
    // Chromium writes no duration into the header of a recording.
    await page.locator('.history').evaluate(async (element) => {
      const audio = new AudioContext();
      const destination = audio.createMediaStreamDestination();
      const tone = audio.createOscillator();
      tone.connect(destination);
      tone.start();
      const recorder = new MediaRecorder(destination.stream, { mimeType: 'audio/webm' });
      const recorded = new Promise<Blob>((resolve) => (recorder.ondataavailable = ({ data }) => resolve(data)));
      recorder.start();
      await new Promise((resolve) => setTimeout(resolve, 1_300));
      recorder.stop();
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([await recorded], 'voice.webm', { type: 'audio/webm' }));
      element.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }));
    });
    await sendPending(page);
    await expect
      .poll(() => bens.locator('.files small').allInnerTexts())
      .toEqual([expect.stringMatching(/^0:0[12], \d+ kB$/)]);
  });

  test('a narrow screen shows files without horizontal scroll', async () => {
    const { page, ann, room } = await annsRoom({ options: NARROW });
    const long = `${'long'.repeat(40)}.txt`;
    const pictures = [await jpeg('a.jpg', 1_600, 400), await jpeg('b.jpg', 300, 1_200)];
    for (const file of [...pictures, textFile('x', long), PNG]) await sendFile(ann, room, file);
    await choose(page, ...pictures, textFile('y', long), PNG);
    await expect.poll(() => pendingOf(page).count()).toBe(4);
    expect(await sizeOf(page)).toBe(360);
    await box(page).fill('many words '.repeat(40));
    await sendPending(page);
    await messageOf(page, 'many words').locator('.pictures[data-count="3"]').waitFor();
    await expect.poll(() => page.locator('.pictures canvas').count()).toBe(0);
    expect(await sizeOf(page)).toBe(360);
    expect(await page.locator('.history').evaluate((element) => element.scrollWidth)).toBeLessThanOrEqual(360);
    await messageOf(page, 'many words').getByRole('button', { name: 'View a.jpg' }).click();
    await page.getByRole('dialog', { name: 'a.jpg' }).waitFor();
    const bounds = await page.getByRole('dialog').boundingBox();
    expect(bounds!.x).toBeGreaterThanOrEqual(0);
    expect(bounds!.x + bounds!.width).toBeLessThanOrEqual(360);
    expect(await sizeOf(page)).toBe(360);
  });

  test('pictures of users and rooms are set, shown to others and removed', async () => {
    const { page, openBens } = await annsRoom();
    const bens = await openBens();
    const picture = await jpeg('me.jpg', 300, 500);
    const setPicture = () => page.getByRole('dialog').locator('input[type=file]').setInputFiles(chosen(picture));
    await page.getByRole('button', { name: 'About this room' }).click();
    await setPicture();
    // Arrives with an event of the room.
    await bens.locator('.room-head .avatar img').waitFor();
    await page.getByRole('button', { name: 'Remove picture' }).click();
    await expect.poll(() => bens.locator('.room-head .avatar img').count()).toBe(0);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Your profile: ann' }).click();
    await page
      .getByRole('dialog')
      .locator('input[type=file]')
      .setInputFiles(chosen({ ...textFile('x', 'no.jpg'), mediaType: 'image/jpeg' }));
    await page.getByText('This file is not a picture').waitFor();
    await setPicture();
    await page.locator('.me .avatar img').waitFor();
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await box(page).fill('my face');
    await box(page).press('Enter');
    await messageOf(bens, 'my face').locator('.avatar img').waitFor();
    await page.getByRole('button', { name: 'Your profile: ann' }).click();
    await page.getByRole('button', { name: 'Remove picture' }).click();
    await expect.poll(() => page.locator('.me .avatar img').count()).toBe(0);
    expect(await focused(page)).toBe('Add picture');
  });

  test('a server without files offers none', async () => {
    const server = await startTestServer({ env: { FILES: 'off' } });
    await world(server);
    const page = await openPage(await openBrowser(), server.url);
    await enter(page, 'ann');
    await openRoom(page, /A room/);
    await page.getByRole('button', { name: 'Your profile: ann' }).click();
    await page.getByRole('dialog').getByLabel('Display name').waitFor();
    await page.waitForLoadState('networkidle');
    expect(await page.getByRole('button', { name: /picture|Attach/ }).count()).toBe(0);
  });
});
