import { rateLimited } from './counters.ts';

/** Maximum number of operations that wait per key. Further operations are refused. */
const MAX_WAITING = 50;
/**
 * Delay suggested to refused clients, in milliseconds. Operations take milliseconds, so slots will be free after a
 * second.
 */
const RETRY_AFTER_MS = 1_000;

/** Operation that needs a slot. */
export interface SlotRequest {
  /** Owner of the slots, such as a user. */
  key: string;
  /** Maximum number of concurrent operations of this key. */
  max: number;
  /** Maximum time to wait for a slot, in milliseconds. */
  maxWaitMs: number;
  /** Returns true if the client has closed the connection. */
  isDisconnected: () => boolean;
}

interface Waiting {
  isDisconnected: () => boolean;
  start: () => void;
  refuse: () => void;
}

interface Slots {
  running: number;
  waiting: Set<Waiting>;
}

/**
 * Limits the concurrent operations of each client. Further operations of the same client wait in order of arrival. One
 * client therefore cannot occupy all database connections.
 *
 * An operation acquires exactly one slot. Operations therefore cannot deadlock.
 */
export class OperationSlots {
  readonly #clients = new Map<string, Slots>();
  readonly #gauges: { operations: number; operationsWaiting: number };

  constructor(gauges: { operations: number; operationsWaiting: number }) {
    this.#gauges = gauges;
  }

  /**
   * Acquires a slot, and returns the function that releases it.
   *
   * @throws ChatError `RATE_LIMITED` if too many operations wait already, or after `maxWaitMs`
   */
  async acquire({ key, max, maxWaitMs, isDisconnected }: SlotRequest): Promise<() => void> {
    const slots = this.#slotsOf(key);
    if (slots.running >= max) await this.#wait(slots, maxWaitMs, isDisconnected);
    else this.#start(slots);
    let isAcquired = true;
    return () => {
      if (isAcquired) this.#release(key, slots);
      isAcquired = false;
    };
  }

  #slotsOf(key: string): Slots {
    let slots = this.#clients.get(key);
    if (!slots) this.#clients.set(key, (slots = { running: 0, waiting: new Set() }));
    return slots;
  }

  #wait(slots: Slots, maxWaitMs: number, isDisconnected: () => boolean): Promise<void> {
    // Refuses operations whose client has disconnected, so that they do not fill the queue.
    if (slots.waiting.size >= MAX_WAITING)
      for (const other of slots.waiting) if (other.isDisconnected()) other.refuse();
    if (slots.waiting.size >= MAX_WAITING) throw rateLimited(RETRY_AFTER_MS);
    return new Promise((resolve, reject) => {
      const stopWaiting = () => {
        clearTimeout(timer);
        slots.waiting.delete(waiting);
        this.#gauges.operationsWaiting -= 1;
      };
      const waiting: Waiting = {
        isDisconnected,
        start: () => {
          stopWaiting();
          this.#start(slots);
          resolve();
        },
        refuse: () => {
          stopWaiting();
          reject(rateLimited(RETRY_AFTER_MS));
        },
      };
      const timer = setTimeout(waiting.refuse, maxWaitMs);
      slots.waiting.add(waiting);
      this.#gauges.operationsWaiting += 1;
    });
  }

  #start(slots: Slots): void {
    slots.running += 1;
    this.#gauges.operations += 1;
  }

  #release(key: string, slots: Slots): void {
    slots.running -= 1;
    this.#gauges.operations -= 1;
    for (const next of slots.waiting) {
      if (!next.isDisconnected()) {
        next.start();
        return;
      }
      next.refuse();
    }
    if (slots.running === 0) this.#clients.delete(key);
  }
}
