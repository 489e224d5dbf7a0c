import { type Figure, type FigureName, FIGURES, type Sample } from './figures.ts';

/** The trend of one figure. */
export interface Course {
  name: FigureName;
  /** Medians of the first, second and last third. */
  thirds: number[];
  /** Increase of the trend line over the second half. */
  rise: number;
  /** Maximum increase, or null if the figure is not judged. */
  most: number | null;
  isFlat: boolean;
}

/** Returns the trend of each figure in the second half. In the first half, caches fill and code is compiled. */
export function follow(samples: readonly Sample[]): Course[] {
  const half = samples.slice(Math.floor(samples.length / 2));
  const lineOf = (name: FigureName) => {
    const rise = riseOf(half.map(({ at, figures }) => [at, figures[name]]));
    return { rise, begin: median(half.map(({ figures }) => figures[name])) - rise / 2 };
  };
  // A machine that slows down delays all processes in proportion.
  const own = lineOf('own lag p99, ms');
  const machine = Math.max(0, own.rise / own.begin);
  return (Object.keys(FIGURES) as FigureName[]).map((name) => {
    const { most: bound }: Figure = FIGURES[name];
    const { rise, begin } = lineOf(name);
    const excused = name === 'lag p99, ms' ? machine * begin : 0;
    const most = bound ? Math.max(bound.share * begin, bound.least) + excused : null;
    const third = (i: number) =>
      median(
        samples
          .slice(Math.floor((i * samples.length) / 3), Math.ceil(((i + 1) * samples.length) / 3))
          .map(({ figures }) => figures[name]),
      );
    return { name, thirds: [0, 1, 2].map(third), rise, most, isFlat: most === null || rise <= most };
  });
}

/**
 * Returns the increase of a trend line between the first and last point. The slope is the median of all pairwise slopes
 * (Theil–Sen), which outliers do not affect.
 */
export function riseOf(points: readonly (readonly [x: number, y: number])[]): number {
  const slopes = points.flatMap(([x, y], i) =>
    points.slice(i + 1).map(([laterX, laterY]) => (laterY - y) / (laterX - x)),
  );
  const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 0];
  return slopes.length === 0 ? 0 : median(slopes) * (last - first);
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** Returns a Markdown table. If `isJudged` is false, it only reports the values. */
export function tableOf(courses: readonly Course[], isJudged: boolean): string {
  const cell = (value: number) => (Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0));
  const rows = courses.map(({ name, thirds, rise, most, isFlat }) => {
    const verdict = isJudged && most !== null ? `, at most ${cell(most)}: ${isFlat ? 'flat' : 'GROWS'}` : '';
    return `| ${[name, ...thirds.map(cell), `${signed(rise, cell)}${verdict}`].join(' | ')} |`;
  });
  const head =
    '| Median | First third | Middle third | Last third | Rise over the second half |\n| --- | ---: | ---: | ---: | --- |';
  return `${head}\n${rows.join('\n')}\n`;
}

function signed(value: number, cell: (value: number) => string): string {
  return value < 0 ? `−${cell(-value)}` : `+${cell(value)}`;
}
