import { benchmarks } from './benchmarks/benchmarks.ts';
import type { Assignment } from './benchmarks/benchmark.ts';

/** Main module of a separate process that generates the load. It receives one assignment, and replies with rows. */
process.once('message', (assignment: Assignment) => {
  void (async () => {
    const benchmark = benchmarks[assignment.benchmark];
    if (!benchmark) throw new Error(`There is no benchmark ${assignment.benchmark}.`);
    return benchmark.load(assignment);
  })().then(
    (rows) => process.send?.({ rows }, () => process.exit(0)),
    (error: unknown) =>
      process.send?.({ failure: error instanceof Error ? error.message : String(error) }, () => process.exit(0)),
  );
});
