import { type Figure, type FigureName, FIGURES, type Sample } from './figures.ts';

/** What has become of one figure. */
export interface Course {
  name: FigureName;
  /** Medians of the first, the middle and the last third. */
  thirds: number[];
  /** By how much a straight line through the second half rises. */
  rise: number;
  /** Null where nothing is judged. */
  most: number | null;
  isFlat: boolean;
}

/** Whether each figure was flat in the second half; in the first, caches fill and code is compiled. */
export function follow(samples: readonly Sample[]): Course[] {
  const half = samples.slice(Math.floor(samples.length / 2));
  const lineOf = (name: FigureName) => {
    const rise = riseOf(half.map(({ at, figures }) => [at, figures[name]]));
    return { rise, begin: median(half.map(({ figures }) => figures[name])) - rise / 2 };
  };
  // A machine that has more to do by and by makes everybody late, each as they are.
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
 * How far a straight line rises from the first to the last of some points: by the median of the slopes between any two of
 * them (Theil and Sen), which single ones that are off do not tilt.
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

/** A table of Markdown; what cannot be judged yet is only told. */
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
