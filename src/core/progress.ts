/** Displays the progress of a long-running task. */
export interface Progress {
  start(label: string, total: number): void;
  advance(count: number): void;
  done(): void;
}
