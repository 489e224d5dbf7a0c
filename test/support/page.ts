import { execFileSync } from 'node:child_process';

/**
 * Builds the page like `npm run build`, once for all test files: a build empties its folder, from which servers of other
 * files read. Runs in a separate process, because Vitest's NODE_ENV yields a development build.
 */
export default function setup(): void {
  const env = { ...process.env, NODE_ENV: 'production' };
  execFileSync('npx', ['vite', 'build', 'examples/web', '--logLevel', 'error'], { env, stdio: 'inherit' });
}
