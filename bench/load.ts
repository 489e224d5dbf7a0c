import { benchmarks } from './benchmarks/benchmarks.ts';
import type { Assignment } from './benchmarks/benchmark.ts';

/** A process of its own, which makes the load and measures: it is given one assignment, and answers with rows. */
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
