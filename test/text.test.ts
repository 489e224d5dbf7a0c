import { describe, expect, it } from 'vitest';
import { emailKey, isEmail } from '../src/text/email.ts';
import { countCharacters, cut } from '../src/text/text.ts';

describe('countCharacters', () => {
  it('counts code points, and stops above the limit', () => {
    expect(countCharacters('a𝒷👍', 10)).toBe(3);
    expect(countCharacters('👍'.repeat(10), 10)).toBe(10);
    expect(countCharacters('a'.repeat(11), 10)).toBe(11);
    expect(countCharacters('👍'.repeat(1_000_000), 10)).toBe(11);
  });
});

describe('cut', () => {
  const family = '👩‍👩‍👧‍👦';

  it('leaves a text within the limit as it is', () => {
    expect(cut('👍👍', 2)).toBe('👍👍');
    expect(cut('', 2)).toBe('');
  });

  it('splits neither a code point nor a grapheme', () => {
    expect(cut('👍'.repeat(64), 10)).toBe('👍'.repeat(10));
    expect(cut(`a${'👍'.repeat(64)}`, 10)).toBe(`a${'👍'.repeat(9)}`);
    expect(cut(`Ann${family}!`, 5)).toBe('Ann');
    expect(cut(`Ann${family}!`, 10)).toBe(`Ann${family}`);
    expect(cut('cafe\u0301s', 4)).toBe('caf');
    expect(cut('cafe\u0301s', 5)).toBe('cafe\u0301');
    expect(cut('🇩🇪🇫🇷🇯🇵', 3)).toBe('🇩🇪');
    expect(cut('a\r\nb', 2)).toBe('a');
  });

  it('cuts a first grapheme that is longer than the limit between code points', () => {
    expect(cut(family, 2)).toBe('👩\u200d');
    expect(cut(`a${'\u0301'.repeat(100)}`, 10)).toBe(`a${'\u0301'.repeat(9)}`);
  });

  it('costs no more for a long text than for a short one', () => {
    const long = '👍'.repeat(500_000);
    cut(long, 64);
    const started = performance.now();
    for (let i = 0; i < 1_000; i += 1) cut(long, 64);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe('e-mail addresses', () => {
  it('are compared by lower-case local part and ASCII domain', () => {
    expect(emailKey('Ann@Example.ORG')).toBe('ann@example.org');
    expect(emailKey('ann@Bücher.example')).toBe('ann@xn--bcher-kva.example');
    expect(emailKey('ann@xn--bcher-kva.example')).toBe('ann@xn--bcher-kva.example');
    expect(emailKey('x@straße.example')).not.toBe(emailKey('x@strasse.example'));
    expect(emailKey('straße@example.org')).not.toBe(emailKey('strasse@example.org'));
    expect(emailKey('ａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇ')).toBe('ann@example.org');
  });

  it.each([
    'ann@example.org',
    'ann+tag@mail.example.org',
    'jürgen@bücher.example',
    '用户@例子.广告',
    "o'neil@example.org",
  ])('can be %s', (address) => {
    expect(isEmail(address)).toBe(true);
  });

  it.each([
    'ⓥictim2@corp.example',
    'ann@ｅxample.org',
    'jose\u0301@example.org',
    'ann\u034f@example.org',
    'ann\ufe0f@example.org',
    'ann\u3164@example.org',
    'ann\u202e@example.org',
    'ann@exa\u00admple.org',
    'ann@example',
    'ann@1.2.3.4',
    'ann@0x7f.1',
    'ann@exa%6dple.org',
    'ann@example.org/x.y',
    'ann@a..b',
    'a@b@example.org',
    'ann@example.org\nbcc: eve@example.org',
    'ann@example.org,eve@example.org',
    'ann\ud800@example.org',
    'ann\0@example.org',
    `${'a'.repeat(250)}@example.org`,
    '',
  ])('cannot be %j', (address) => {
    expect(isEmail(address)).toBe(false);
  });
});
