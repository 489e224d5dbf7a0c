import { expect, test } from 'vitest';
import { findLinks } from '../../examples/web/src/room/links.ts';

const linksOf = (text: string) => findLinks(text).map(({ raw }) => raw);

test.each([
  ['https://en.wikipedia.org/wiki/Curtain_(disambiguation)', 'https://en.wikipedia.org/wiki/Curtain_(disambiguation)'],
  ['(see https://example.org/a_(b)).', 'https://example.org/a_(b)'],
  ['（https://example.org/a）', 'https://example.org/a'],
  ['https://例え.jp/パス。次の文', 'https://例え.jp/パス'],
  ['https://example.org/a、b', 'https://example.org/a'],
  ['HTTPS://EXAMPLE.ORG/A', 'HTTPS://EXAMPLE.ORG/A'],
  ['https://example.org/?a=b&c=d#e!', 'https://example.org/?a=b&c=d#e'],
  ['"https://example.org/a", he wrote', 'https://example.org/a'],
  ['[text](https://example.org/a)', 'https://example.org/a'],
  ['http://localhost:4000/graphql?', 'http://localhost:4000/graphql'],
  ['https://user:pass@example.org/a', 'https://user:pass@example.org/a'],
])('the link in %s ends where people mean it to', (text, link) => {
  expect(linksOf(text)).toEqual([link]);
});

test.each([
  'javascript:alert(1)',
  'ftp://example.org',
  'mailto:a@example.org',
  '//example.org/a',
  'www.example.org',
  'https://',
  'https://example.org/\u202egro.live',
])('no link is made of %s', (text) => {
  expect(linksOf(text)).toEqual([]);
});
