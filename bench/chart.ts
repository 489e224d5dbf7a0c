import type { Benchmark } from './benchmarks/benchmark.ts';
import { format, type Medians } from './report.ts';
import { titles } from './stacks.ts';

const WIDTH = 760;
const LABELS = 190;
const FIGURES = 90;
const BAR = 16;
const STEP = 22;

/** Draws bars grouped by case. Each case has its own scale, because only the ratios between stacks matter. */
export function drawChart({ cases, stacks, of }: Medians, { title, unit, better }: Benchmark): string {
  const shapes: string[] = [];
  let y = 30;
  for (const name of cases) {
    y += 24;
    shapes.push(text(0, y, name, 'case'));
    const most = Math.max(...stacks.map((stack) => of(stack, name) ?? 0));
    for (const stack of stacks) {
      const value = of(stack, name);
      if (value === null) continue;
      y += STEP;
      const width = Math.max(1, ((WIDTH - LABELS - FIGURES) * value) / most);
      shapes.push(
        text(LABELS - 8, y, titles[stack], 'label'),
        `<rect class="${stack === 'parley' ? 'own' : 'other'}" x="${LABELS}" y="${y - 12}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
        text(LABELS + width + 6, y, format(value), 'figure'),
      );
    }
    y += 8;
  }
  const height = y + 16;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.case { font-weight: 600 }
.label { text-anchor: end }
.own { fill: #2563eb }
.other { fill: #9ca3af }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .own { fill: #60a5fa } .other { fill: #6b7280 } }
</style>
${text(0, 18, `${title}: ${unit}${better ? `, ${better} is better` : ''}`, 'title')}
${shapes.join('\n')}
</svg>
`;
}

function text(x: number, y: number, content: string, kind: string): string {
  return `<text class="${kind}" x="${x.toFixed(1)}" y="${y}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
