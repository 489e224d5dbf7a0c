import { readdir, readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { focused, tabTo } from './access.ts';

/** Matches a button, link or field in the source. Counts `Field` and `NewPassword` where a form uses them. */
const CONTROL = /<(?:button|a|textarea|summary|Field|input(?!\s+hidden)|NewPassword)[\s>]|tabIndex=\{0\}/g;

/** Returns functions that use controls by keyboard alone, and remember the names of the controls. */
export function createKeyboard() {
  /** Names of the controls that the steps have used so far. */
  const used = new Set<string>();

  /** Moves to the control with this name by Tab or Shift+Tab, and presses a key. */
  async function press(page: Page, name: string | RegExp, { key = 'Enter', back = false } = {}): Promise<void> {
    await tabTo(page, typeof name === 'string' ? new RegExp(`^\\s*${name}`) : name, back ? 'Shift+Tab' : 'Tab');
    used.add((await focused(page)).trim());
    await page.keyboard.press(key);
  }

  /** Replaces the content of the field with this label. */
  async function type(page: Page, label: string, text: string): Promise<void> {
    await press(page, label, { key: 'ControlOrMeta+a' });
    await page.keyboard.type(text);
  }

  /** Moves to a person's controls, and presses the one with this name. */
  async function pressOf(page: Page, person: string, name: string): Promise<void> {
    const group = page.getByRole('group', { name: person, exact: true });
    await group.waitFor();
    for (let presses = 0; presses < 60; presses += 1) {
      const isThere = await group.evaluate((element) => element.contains(document.activeElement));
      if (isThere && (await focused(page)) === name) {
        used.add(name);
        await page.keyboard.press('Enter');
        return;
      }
      await page.keyboard.press('Tab');
    }
    throw new Error(`Tab does not lead to ${name} of ${person}.`);
  }

  /**
   * Expects that the steps so far have used every control.
   *
   * @param controls accessible names of the controls, by source file
   * @param includes returns whether a source file belongs to the page
   */
  async function expectAllUsed(controls: Record<string, RegExp[]>, includes: (file: string) => boolean): Promise<void> {
    const folder = new URL('../../examples/web/src/', import.meta.url);
    const files = (await readdir(folder, { recursive: true })).filter(
      (name) => name.endsWith('.tsx') && name !== 'parts/Field.tsx' && includes(name),
    );
    for (const file of files) {
      const found = (await readFile(new URL(file, folder), 'utf8')).match(CONTROL) ?? [];
      const names = controls[file] ?? [];
      expect(names, `${file} has ${found.length} controls`).toHaveLength(found.length);
      for (const name of names)
        expect(
          [...used].some((each) => name.test(each)),
          `${file}: ${name}`,
        ).toBe(true);
    }
  }

  return { press, type, pressOf, expectAllUsed };
}
