/** Checks that the schema does not contradict surface.graphql. With --verbose, also lists missing parts. */
import { buildSchema } from '../src/features/schema.ts';
import { compareWithSurface } from './surface.ts';

const comparison = await compareWithSurface(buildSchema());
if (comparison) {
  const { present, total, absent, contradictions } = comparison;
  console.log(`${present} of the surface's ${total} fields are there (${Math.floor((100 * present) / total)} %).`);
  if (process.argv.includes('--verbose')) for (const name of absent) console.log(`  absent: ${name}`);
  for (const contradiction of contradictions) console.error(`  contradicts the surface: ${contradiction}`);
  if (contradictions.length > 0) process.exitCode = 1;
} else {
  console.log('Skipped the comparison with surface.graphql: the file does not exist in ../shared.');
}
