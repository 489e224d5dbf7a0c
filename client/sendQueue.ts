import {
  type ChatError,
  failed,
  type GraphQLFailure,
  isChatError,
  isCrash,
  isTemporary,
  unreachable,
} from './errors.ts';
import type { Result } from './http.ts';
import { type ChatState, isConnected } from './socket.ts';
import { warnOfRateLimit } from './rateLimit.ts';
import { backoff } from './wait.ts';

/** One request to the server, without a retry. */
export type Attempt = (signal: AbortSignal) => Promise<Result<unknown>>;

export interface JobOptions {
  /** Whether to repeat the request if there is no response, or after a temporary error. */
  retry: boolean;
  /** Removes the job when the signal fires. */
  signal?: AbortSignal | undefined;
}

interface Job {
  rooms: readonly string[];
  attempt: Attempt;
  retry: boolean;
  /** Number of failed attempts. */
  failures: number;
  /** Number of responses with a crash, which the message itself may have caused. */
  crashes: number;
  running: { controller: AbortController; since: number } | null;
  resolve: (result: Result<unknown>) => void;
  reject: (error: unknown) => void;
}

/**
 * State of the queue:
 *
 * - `open`: the last request got a response; requests for several rooms run concurrently
 * - `probing`: it is unknown whether the server can be reached; one request runs at a time
 * - `paused`: the last request failed; another request starts when the backoff ends
 */
type QueueState = 'open' | 'probing' | 'paused';

/**
 * Maximum number of concurrent requests, each for another room. Browsers open at most 6 connections to a server over
 * HTTP/1.1.
 */
const MAX_RUNNING = 6;
/** Minimum pause after a failed request, so that an unreachable server gets at most 2 requests a second. */
const MIN_PAUSE_MS = 700;
/**
 * A request that has run for longer than this is probably lost. It is repeated when the server can be reached again.
 */
const LOST_AFTER_MS = 2_000;
/** Number of server errors after which a request is not repeated. The caller receives the last error. */
const MAX_CRASHES = 5;

/**
 * Queue of requests that send messages. Runs them in order, one at a time in each room. All rooms share one backoff.
 */
export class SendQueue {
  readonly #jobs = new Set<Job>();
  readonly #closed: AbortSignal;
  #state: QueueState = 'probing';
  #failures = 0;
  #running = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(closed: AbortSignal) {
    this.#closed = closed;
    closed.addEventListener('abort', () => {
      clearTimeout(this.#timer);
      for (const job of this.#jobs) this.#remove(job, closed.reason);
    });
  }

  /**
   * Adds a request that sends messages to these rooms. The request starts after all earlier requests for the same
   * rooms. Returns its response.
   */
  add(rooms: readonly string[], attempt: Attempt, { retry, signal }: JobOptions): Promise<Result<unknown>> {
    this.#closed.throwIfAborted();
    signal?.throwIfAborted();
    return new Promise<Result<unknown>>((resolve, reject) => {
      const job: Job = { rooms, attempt, retry, failures: 0, crashes: 0, running: null, resolve, reject };
      const abort = () => {
        this.#remove(job, signal?.reason);
      };
      const settle = <Value>(how: (value: Value) => void) => {
        return (value: Value) => {
          signal?.removeEventListener('abort', abort);
          how(value);
        };
      };
      job.resolve = settle(resolve);
      job.reject = settle(reject);
      signal?.addEventListener('abort', abort);
      this.#jobs.add(job);
      this.#start();
    });
  }

  /**
   * Called when the state of the socket changes. Ends the pause if the socket is open. After a lost connection, only
   * one request runs at a time.
   */
  onState(state: ChatState): void {
    if (isConnected(state)) this.wake();
    else if ((state === 'connecting' || state === 'offline') && this.#state === 'open') this.#state = 'probing';
  }

  /**
   * Called when the server can probably be reached again. Ends the pause and repeats requests that were probably lost.
   */
  wake(): void {
    clearTimeout(this.#timer);
    this.#failures = 0;
    if (this.#state === 'paused') this.#state = 'probing';
    for (const { retry, running } of this.#jobs)
      if (retry && running && performance.now() - running.since > LOST_AFTER_MS) running.controller.abort(LOST);
    this.#start();
  }

  #start(): void {
    const free = { open: MAX_RUNNING, probing: 1, paused: 0 }[this.#state] - this.#running;
    if (free <= 0 || this.#closed.aborted) return;
    // Requests with fewer failures start first. Otherwise a message that the server cannot store would block all rooms.
    const waiting = this.#startable().toSorted((a, b) => a.failures - b.failures);
    for (const job of waiting.slice(0, free)) void this.#run(job);
  }

  /** Returns the jobs that are not running and have no earlier job in any of their rooms. */
  #startable(): Job[] {
    const taken = new Set<string>();
    const found: Job[] = [];
    for (const job of this.#jobs) {
      if (!job.running && !job.rooms.some((room) => taken.has(room))) found.push(job);
      for (const room of job.rooms) taken.add(room);
    }
    return found;
  }

  async #run(job: Job): Promise<void> {
    const controller = new AbortController();
    job.running = { controller, since: performance.now() };
    this.#running += 1;
    try {
      const result = await job.attempt(controller.signal);
      const pause = job.retry && result.errors ? pauseBeforeRetry(result.errors, job) : null;
      if (pause === null) {
        this.#open();
        if (this.#jobs.delete(job)) job.resolve(result);
      } else {
        warnOfRateLimit(failed(result.errors ?? []), pause, this.#closed);
        this.#pause(job, pause);
      }
    } catch (error) {
      const isLost = isChatError(error, 'UNREACHABLE');
      if (isLost && error !== LOST) this.#pause(job, 0);
      if (!isLost || !job.retry) this.#remove(job, error);
    } finally {
      job.running = null;
      this.#running -= 1;
      this.#start();
    }
  }

  #remove(job: Job, reason: unknown): void {
    if (!this.#jobs.delete(job)) return;
    job.running?.controller.abort(reason);
    job.reject(reason);
    this.#start();
  }

  #open(): void {
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#state = 'open';
  }

  #pause(job: Job, ms: number): void {
    job.failures += 1;
    // Concurrent requests that fail together count as one failure.
    if (this.#state === 'paused' || this.#closed.aborted) return;
    this.#failures += 1;
    this.#state = 'paused';
    const end = () => {
      this.#state = 'probing';
      this.#start();
    };
    const failures = Math.max(this.#failures, job.crashes);
    this.#timer = setTimeout(end, Math.max(ms, MIN_PAUSE_MS, backoff(failures)));
  }
}

const LOST: ChatError = unreachable('The connection was lost. The request is repeated.');

/**
 * Returns the minimum number of milliseconds before a retry, or null if the request must not be retried. Counts crashes
 * in `job.crashes`.
 */
function pauseBeforeRetry(errors: readonly GraphQLFailure[], job: Job): number | null {
  const error = failed(errors);
  if (!isTemporary(error)) return null;
  if (isCrash(error)) job.crashes += 1;
  return job.crashes < MAX_CRASHES ? (error.retryAfterMs ?? 0) : null;
}
