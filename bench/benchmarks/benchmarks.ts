import type { Benchmark } from './benchmark.ts';
import { cold } from './cold.ts';
import { conversation } from './conversation.ts';
import { fanout } from './fanout.ts';
import { history } from './history.ts';
import { idle } from './idle.ts';
import { latency } from './latency.ts';
import { page } from './page.ts';
import { resume } from './resume.ts';
import { rooms } from './rooms.ts';
import { search } from './search.ts';
import { send } from './send.ts';
import { storm } from './storm.ts';

/** All benchmarks by name, as in `npm run bench -- NAME`, in the order in which they run. */
export const benchmarks: Record<string, Benchmark> = {
  ...{ conversation, page, fanout, send, cold, latency, history, rooms, resume, storm, idle, search },
};
