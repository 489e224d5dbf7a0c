import { Worker } from 'node:worker_threads';
import pLimit from 'p-limit';

/** Thrown if a task takes longer than the time limit. */
export class TaskTimeout extends Error {
  override readonly name = 'TaskTimeout';
}

/** Returns whether a task failed because it exceeded the time limit or the heap of its worker. It would do so again. */
export function exceededLimits(error: unknown): boolean {
  return error instanceof TaskTimeout || (error as { code?: unknown } | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

/** Response of a worker to a task. */
export type TaskResponse<Result> = { result: Result } | { error: string };

export interface WorkerPool<Task, Result> {
  /**
   * Runs a task in a worker. Waits while all workers are busy.
   *
   * @throws TaskTimeout after the time limit; the worker is terminated
   * @throws Error if the task or its worker fails, or after `close`
   */
  run(task: Task): Promise<Result>;
  /** Terminates all workers. Running and waiting tasks fail. */
  close(): Promise<void>;
}

/** Maximum JavaScript heap of a worker in MB. Pixels and files are outside the heap. */
const MAX_HEAP_MB = 128;

/**
 * Creates a pool of worker threads. A worker starts with the first task that needs it, and is used again. A worker that
 * fails or is terminated is replaced.
 *
 * @param options.script module that responds to each message with a `TaskResponse`
 * @param options.size maximum number of workers
 */
export function createWorkerPool<Task, Result>(options: {
  script: URL;
  size: number;
  timeLimitMs: number;
}): WorkerPool<Task, Result> {
  const { script, size, timeLimitMs } = options;
  const limit = pLimit(size);
  const workers = new Set<Worker>();
  const idle: Worker[] = [];
  let isClosed = false;

  function start(): Worker {
    const resourceLimits = { maxOldGenerationSizeMb: MAX_HEAP_MB };
    const worker = script.pathname.endsWith('.ts')
      ? new Worker(fromSource(script), { eval: true, resourceLimits })
      : new Worker(script, { resourceLimits });
    workers.add(worker);
    // `respond` handles the error of a task. Without a listener, an error of an idle worker would end the process.
    worker.on('error', () => undefined);
    worker.on('exit', () => {
      workers.delete(worker);
      const index = idle.indexOf(worker);
      if (index >= 0) idle.splice(index, 1);
    });
    // An idle worker does not keep a process running that has nothing else to do.
    worker.unref();
    return worker;
  }

  return {
    run: (task) =>
      limit(async () => {
        if (isClosed) throw new Error('The workers have been closed.');
        const worker = idle.pop() ?? start();
        try {
          const response = await respond<Result>(worker, task, timeLimitMs);
          idle.push(worker);
          if ('error' in response) throw new Error(response.error);
          return response.result;
        } finally {
          // Native code cannot be interrupted. Waiting for its end keeps the number of busy threads bounded.
          if (!idle.includes(worker)) await worker.terminate();
        }
      }),
    async close() {
      isClosed = true;
      await Promise.all([...workers].map((worker) => worker.terminate()));
    },
  };
}

/** Returns code that runs a TypeScript module, for development and tests. Workers do not inherit the loader of tsx. */
function fromSource(script: URL): string {
  return `import('tsx/esm/api').then(({ register }) => { register(); return import('${script.href}'); });`;
}

/** Sends a task to a worker, and returns its response. Fails if the worker ends, fails or exceeds the time limit. */
async function respond<Result>(worker: Worker, task: unknown, timeLimitMs: number): Promise<TaskResponse<Result>> {
  const settled = new AbortController();
  try {
    return await new Promise<TaskResponse<Result>>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new TaskTimeout(`A task took longer than ${timeLimitMs} ms.`));
      }, timeLimitMs);
      const onExit = () => {
        reject(new Error('The worker has ended.'));
      };
      settled.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        worker.off('message', resolve).off('error', reject).off('exit', onExit);
      });
      worker.once('message', resolve).once('error', reject).once('exit', onExit);
      worker.postMessage(task);
    });
  } finally {
    settled.abort();
  }
}
