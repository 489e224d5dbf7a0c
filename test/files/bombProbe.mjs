// Processes the image of the first argument in a process of its own. Prints whether it has variants, and what it cost.
// Ends by itself only if nothing of the image processor is left.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { createImageProcessor } from '../../src/platform/images/images.ts';
import { createGauges } from '../../src/platform/observability/gauges.ts';
import { waitedForCore } from '../support/runQueue.mjs';

const INTERVAL_MS = 5;
const folder = await mkdtemp(join(tmpdir(), 'parley-bomb-'));
const images = createImageProcessor({ keepsMetadata: false, gauges: createGauges() });
// The first task loads the code of the worker.
await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } }).toFile(join(folder, 'small.png'));
const small = await images.processImage({ path: join(folder, 'small.png'), mediaType: 'image/png', folder });

let longestMs = 0;
let last = { time: performance.now(), waited: waitedForCore('thread-self') };
const meter = setInterval(() => {
  const now = { time: performance.now(), waited: waitedForCore('thread-self') };
  longestMs = Math.max(longestMs, now.time - last.time - (now.waited - last.waited) - INTERVAL_MS);
  last = now;
}, INTERVAL_MS);
const before = process.resourceUsage().maxRSS;
const [path, mediaType] = process.argv.slice(2);
const result = await images.processImage({ path, mediaType, folder });
clearInterval(meter);
await images.close();
console.log(
  JSON.stringify({
    small: small.outcome === 'READY' && small.variants !== null,
    outcome: result.outcome,
    hasVariants: result.variants !== null,
    megabytes: (process.resourceUsage().maxRSS - before) / 1_024,
    longestMs,
    folder,
  }),
);
