import { describe, expect, it } from 'vitest';
import { emailKey, isEmail } from '../src/core/text/email.ts';
import { qualifyEmoji } from '../src/core/text/emoji.ts';
import { checkBody, checkClientMessageId } from '../src/core/text/body.ts';
import { checkBio, checkNickname, checkRoomName, checkTopic, checkUsername, nameKey } from '../src/core/text/names.ts';
import { skeletonOf } from '../src/core/text/skeleton.ts';
import { countCharacters, cut } from '../src/core/text/text.ts';
import { cpuMs } from './support/cpu.ts';

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

  it('cuts an overlong first grapheme between code points', () => {
    expect(cut(family, 2)).toBe('👩\u200d');
    expect(cut(`a${'\u0301'.repeat(100)}`, 10)).toBe(`a${'\u0301'.repeat(9)}`);
  });

  it('costs no more for a long text than for a short one', () => {
    const long = '👍'.repeat(500_000);
    const cutOften = () => {
      for (let i = 0; i < 1_000; i += 1) cut(long, 64);
    };
    expect(cpuMs(cutOften)).toBeLessThan(1_000);
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

describe('a username', () => {
  it.each([
    ...['ann', 'Ann_1', 'a.b-c', '_ann', '123', 'José', 'Björk', 'łukasz', 'Ağça', 'Nguyễn', 'Đặng'],
    ...[
      '山田太郎',
      'さくら',
      'サクラ',
      '山田さくらAnn',
      'ー々ア',
      '김민준',
      '민준Kim',
      '王小明',
      '王小明Wang',
      'ㄅㄆㄇ漢字',
    ],
    ...['Анна', 'Наташа_99', 'їжак', 'משה', 'נועה', 'محمد', 'فاطمة', 'राहुल', 'प्रिया', 'สมชาย', 'พิมพ์ใจ', 'Γιώργος'],
    ...['Ὀδυσσεύς', 'ஆனந்த்', 'ಕನ್ನಡ', 'Ձոն_Հայ', 'გიორგი', 'ኢትዮጵያ', '𞤀𞤁𞤂', 'မြို့သား', 'བསྒྲུབས', 'ស្ត្រី'],
  ])('can be %s, composed or not', (name) => {
    expect(checkUsername(name, 'input.username')).toBe(name.normalize('NFKC'));
    expect(checkUsername(name.normalize('NFD'), 'input.username')).toBe(name.normalize('NFKC'));
  });

  it.each([
    // Names with the same appearance as another name.
    ...['sup\u034fport', 'support\ufe0f', 'sup\ufe00port', 'support\u{e0100}', 'support\u3164', 'support\u115f'],
    ...['support\uffa0', 'support\u180b', 'support\u17b4', 'ann\u200b', 'a\u00adnn', 'ann\u202e', 'ann\u{13441}'],
    // Names that show nothing, or only signs.
    ...['\u3164\u3164\u3164', '\u034f\u034f\u034f', '\ufe0f\ufe0f\ufe0f', '\u2800\u2800\u2800', '...', '_-_', ''],
    // Combining marks.
    ...[
      '\u0300\u0301\u0302',
      `a${'\u0300'.repeat(31)}`,
      '\u0300ann',
      '_\u0301ab',
      'ก่่่',
      'a\u20ddnn',
      'มม\u0e48\u0e48\u0e48',
    ],
    // Mixed scripts.
    ...['suppоrt', 'suppοrt', 'Аnn', '山田Анна', 'יוסיAnn', 'ann৪'],
    // Other violations.
    ...[
      'ab',
      'x'.repeat(33),
      'a b c',
      'ann@x',
      'ann\0',
      'ann\ud800',
      'ann\n',
      'ann👍',
      `a${'\u0315\u0316'.repeat(24_500)}`,
    ],
  ])('cannot be %j', (name) => {
    expect(() => checkUsername(name, 'input.username')).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
  });

  it.each([
    ['paypaI', 'paypal'],
    ['supp0rt', 'support'],
    ['rnary', 'mary'],
    ['аре', 'ape'],
    ['АРЕ', 'ape'],
    ['bob1', 'bobl'],
    ['ΑΝΝ', 'ANN'],
    ['محـمد', 'محمد'],
    ['二ニ二', '二二二'],
  ])('%s resembles %s', (one, other) => {
    expect(nameKey(one)).not.toBe(nameKey(other));
    expect(skeletonOf(one)).toBe(skeletonOf(other));
  });

  it.each([
    ['ann', 'anna'],
    ['café', 'cafe'],
    ['ian', 'lan'],
    ['straße', 'strasse'],
  ])('%s does not resemble %s', (one, other) => {
    expect(skeletonOf(one)).not.toBe(skeletonOf(other));
  });

  it('has no key if the text is longer than any name', () => {
    const bomb = `a${'\u0315\u0316'.repeat(500_000)}`;
    expect(nameKey(bomb)).toBeNull();
    expect(emailKey(bomb)).toBeNull();
    expect(cpuMs(() => [nameKey(bomb), emailKey(bomb)])).toBeLessThan(50);
  });
});

const refusals: [string, (text: string, path: string) => unknown][] = [
  ['a nickname', checkNickname],
  ['the name of a chatroom', checkRoomName],
  ['a topic', checkTopic],
  ['a body', checkBody],
];

describe.each(refusals)('%s', (_, check) => {
  it.each([
    '\u200b',
    '\u2800',
    '\ufffc',
    '\u{16fe4}\u{16fe4}',
    '\u3164',
    '\u2060',
    '\u202e',
    '\u00ad',
    '\u034f\ufe0f',
    ' \u200d ',
    '\u{e0001}',
    '\u0085',
    ' ',
  ])('cannot be %j, which is invisible', (text) => {
    expect(() => check(text, 'input.body')).toThrow(
      expect.objectContaining({ code: 'BAD_USER_INPUT', details: { path: ['input', 'body'] } }),
    );
  });

  it.each(['a', '❤️', '1️⃣', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '👩‍👩‍👧‍👦', 'می‌خواهم', 'नमस्ते', '\ue000'])('can be %s', (text) => {
    expect(() => check(text, 'input.body')).not.toThrow();
  });

  it.each(['a\0', 'a\ud800', '\udc00a'])('cannot be %j, which PostgreSQL refuses', (text) => {
    expect(() => check(text, 'input.body')).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
  });
});

describe('nicknames and names of chatrooms', () => {
  it.each(
    [
      'Ann\nB',
      'A\u0007B',
      'Ann\u2028B',
      'Ann\u2029B',
      'A\tB',
      '\u001b[31mA',
      'A\u0085B',
      'A\u009bB',
      ...'\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c',
    ].map((text) => (text.length === 1 ? `Eve${text}` : text)),
  )('cannot be %j', (text) => {
    for (const check of [checkNickname, checkRoomName]) {
      expect(() => check(text, 'input.name')).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
    }
  });

  it('count code points after trimming', () => {
    expect(checkNickname(` ${'👍'.repeat(64)}\n`, 'input.nickname')).toBe('👍'.repeat(64));
    expect(() => checkNickname('👍'.repeat(65), 'input.nickname')).toThrow();
    expect(checkRoomName('👍'.repeat(100), 'input.name')).toBe('👍'.repeat(100));
  });
});

describe('topics and bios', () => {
  it('may contain line breaks, direction marks and isolates', () => {
    const text = 'one\r\n\ttwo \u200fשלום\u200f \u2067שלום\u2069';
    expect(checkTopic(text, 'input.topic')).toBe(text);
    expect(checkBio(text, 'input.bio')).toBe(text);
    expect(checkBio('', 'input.bio')).toBe('');
  });

  it.each(['a\u202eb', 'a\u202ab', 'a\u0007b', 'a\u001b[31mb', 'a\u0085b'])('cannot be %j', (text) => {
    expect(() => checkTopic(text, 'input.topic')).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
    expect(() => checkBio(text, 'input.bio')).toThrow(expect.objectContaining({ code: 'BAD_USER_INPUT' }));
  });
});

describe('bodies and clientMessageIds', () => {
  it('count code points', () => {
    expect(() => {
      checkBody(`  ${'👍'.repeat(10_000)}\n`, 'input.body');
    }).not.toThrow();
    expect(() => {
      checkBody('👍'.repeat(10_001), 'input.body');
    }).toThrow();
    expect(() => {
      checkClientMessageId('👍'.repeat(100), 'input.clientMessageId');
    }).not.toThrow();
    expect(() => {
      checkClientMessageId('👍'.repeat(101), 'input.clientMessageId');
    }).toThrow();
  });
});

describe('an emoji', () => {
  it.each([
    ['👍\ufe0f', '👍'],
    ['👍🏽\ufe0f', '👍🏽'],
    ['❤', '❤️'],
    ['☺', '☺️'],
    ['1⃣', '1️⃣'],
    ['⛹🏽‍♀', '⛹🏽‍♀️'],
    ['⛹‍♀', '⛹️‍♀️'],
    ['👁‍🗨', '👁️‍🗨️'],
    ['🏳‍🌈', '🏳️‍🌈'],
    ['👩‍❤‍💋‍👨', '👩‍❤️‍💋‍👨'],
    ['🇩🇪', '🇩🇪'],
    ['🏴󠁧󠁢󠁥󠁮󠁧󠁿', '🏴󠁧󠁢󠁥󠁮󠁧󠁿'],
  ])('%s is %s', (text, qualified) => {
    expect(qualifyEmoji(text)).toBe(qualified);
    expect(qualifyEmoji(qualified)).toBe(qualified);
  });

  it.each(['a', '1', '', '👍👍', '❤\ufe0e', ' 👍', '\ufe0f', '👍'.repeat(100_000)])('is not %j', (text) => {
    expect(qualifyEmoji(text)).toBeNull();
  });

  it('of one character has one form, with and without U+FE0F', () => {
    const isEmoji = new RegExp('^\\p{RGI_Emoji}$', 'v');
    const single = Array.from({ length: 0x1_ff_ff }, (_, code) => String.fromCodePoint(code))
      .filter((character) => /\p{Emoji}/u.test(character))
      .flatMap((character) => [character, `${character}\ufe0f`].filter((text) => isEmoji.test(text)));
    expect(single.length).toBeGreaterThan(1_000);
    expect(
      single.filter((text) => qualifyEmoji(text) !== text || qualifyEmoji(text.replace('\ufe0f', '')) !== text),
    ).toEqual([]);
  });
});
