import type { Progress } from '../core/progress.ts';

const WIDTH = 30;

/** Creates a progress bar. In a terminal it redraws one line. Otherwise it writes a line at each tenth of the total. */
export function createProgress(stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>): Progress {
  let label = '';
  let total = 0;
  let count = 0;
  let shown = -1;

  function show(): void {
    const share = total === 0 ? 1 : Math.min(count / total, 1);
    const step = Math.floor(share * (stream.isTTY ? 100 : 10));
    if (step === shown) return;
    shown = step;
    const counted = `${count.toLocaleString('en')} of ${total.toLocaleString('en')}`;
    if (!stream.isTTY) {
      stream.write(`${label}: ${counted}\n`);
      return;
    }
    const full = Math.round(share * WIDTH);
    stream.write(`\r${label} ${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${counted}\x1b[K`);
  }

  return {
    start(newLabel, newTotal) {
      [label, total, count, shown] = [newLabel, newTotal, 0, -1];
      show();
    },
    advance(more) {
      count += more;
      show();
    },
    done() {
      if (stream.isTTY) stream.write('\n');
    },
  };
}
