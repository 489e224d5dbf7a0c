import { expect, test } from 'vitest';
import { follow, riseOf } from './soak/courses.ts';
import { type FigureName, FIGURES, type Sample } from './soak/figures.ts';

/**
 * Returns samples of twenty minutes, four per minute. Figures fluctuate but do not grow unless `grown` says otherwise.
 */
function looks(grown: Partial<Record<FigureName, (at: number) => number>> = {}): Sample[] {
  return Array.from({ length: 80 }, (_, i) => {
    const at = (i + 1) / 4;
    const noise = Math.sin(i * 12.9898) * 0.01;
    const figures = Object.keys(FIGURES).map((name) => [
      name,
      100 * (1 + noise) + (grown[name as FigureName]?.(at) ?? 0),
    ]);
    return { at, figures: Object.fromEntries(figures) as Sample['figures'], codes: new Map() };
  });
}

const growing = (samples: Sample[]) =>
  follow(samples)
    .filter(({ isFlat }) => !isFlat)
    .map(({ name }) => name);

test('figures that fluctuate are flat', () => {
  expect(growing(looks())).toEqual([]);
});

test('a figure that grows only in the first half is flat', () => {
  expect(growing(looks({ 'heap, MB': (at) => 50 * Math.min(1, at / 8) }))).toEqual([]);
});

test('a heap that grows by 1 MB a minute is found', () => {
  expect(growing(looks({ 'heap, MB': (at) => at }))).toEqual(['heap, MB']);
});

test('a file leak of one per half minute is found', () => {
  expect(growing(looks({ 'open files': (at) => 2 * at }))).toEqual(['open files']);
});

test('a node on a machine that slows down is not blamed', () => {
  const late = (at: number) => 20 * at;
  expect(growing(looks({ 'lag p99, ms': late }))).toEqual(['lag p99, ms']);
  expect(growing(looks({ 'lag p99, ms': late, 'own lag p99, ms': late }))).toEqual([]);
});

test('an unreadable figure is not flat', () => {
  expect(growing(looks({ tails: () => NaN }))).toEqual(['tails']);
});

test('a few outliers do not affect the trend', () => {
  const points = Array.from({ length: 40 }, (_, x) => [x, x > 36 ? 1_000 : 5] as const);
  expect(riseOf(points)).toBe(0);
});
