/** Shows how far a long work has come. */
export interface Progress {
  start(label: string, total: number): void;
  advance(count: number): void;
  done(): void;
}

const WIDTH = 30;

/** A bar that is redrawn in a terminal; where the stream is none, a line at each tenth. */
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
