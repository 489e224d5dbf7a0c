/** One line of a chart, in the unit of its axis. */
export interface Line {
  name: string;
  colour: string;
  points: readonly (readonly [x: number, y: number])[];
}

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT] = [760, 320, 56, 44, 40, 96];
const MOST_COLUMNS = 10;
const LINE_HEIGHT = 15;

/** Returns an SVG of lines over minutes, readable on light and dark backgrounds. */
export function drawChart(title: string, unit: string, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const lastX = Math.max(...all.map(([x]) => x), 1);
  const step = niceStep(Math.max(...all.map(([, y]) => y)) / 5);
  const most = Math.ceil((Math.max(...all.map(([, y]) => y)) * 1.05) / step) * step;
  const x = (minutes: number) => round(LEFT + (minutes / lastX) * (WIDTH - LEFT - RIGHT));
  const y = (value: number) => round(HEIGHT - BOTTOM - (value / most) * (HEIGHT - TOP - BOTTOM));
  const grey = 'fill="#777"';

  const rows = Array.from({ length: Math.round(most / step) + 1 }, (_, i) => i * step).map(
    (value) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="#7774"/>` +
      `<text x="${LEFT - 8}" y="${y(value) + 4}" text-anchor="end" ${grey}>${value}</text>`,
  );
  // Limits the number of labels to the available width.
  const every = Math.ceil(lastX / MOST_COLUMNS);
  const columns = Array.from({ length: Math.floor(lastX / every) + 1 }, (_, i) => i * every).map(
    (minute) => `<text x="${x(minute)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle" ${grey}>${minute} min</text>`,
  );
  // Labels are placed at the ends of their lines, moved down if they would overlap.
  const ends = new Map<Line, number>();
  for (const line of [...lines].sort((a, b) => endOf(b) - endOf(a)))
    ends.set(line, Math.max(y(endOf(line)), ...[...ends.values()].map((above) => above + LINE_HEIGHT)));
  const drawn = lines.map((line) => {
    const { name, colour, points } = line;
    const path = points.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${x(px)} ${y(py)}`).join('');
    const [endX] = points.at(-1) ?? [0];
    return (
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>` +
      `<text x="${x(endX) + 8}" y="${round((ends.get(line) ?? 0) + 4)}" fill="${colour}">${name}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}" font-family="system-ui, sans-serif" font-size="13">`,
    `<text x="${LEFT}" y="22" ${grey} font-size="15">${title}</text>`,
    `<text x="${LEFT - 8}" y="${TOP - 8}" text-anchor="end" ${grey}>${unit}</text>`,
    ...rows,
    ...columns,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function endOf({ points }: Line): number {
  return points.at(-1)?.[1] ?? 0;
}

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5, 10].find((factor) => factor * power >= least) ?? 10) * power;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
