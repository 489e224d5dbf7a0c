import { rateLimited } from './counters.ts';

/** Maximum number of operations that wait per key; further ones are refused. */
const MAX_WAITING = 50;
/** Operations take milliseconds, so that some of those ahead have ended after a second. */
const RETRY_AFTER_MS = 1_000;

/** An operation that wants a slot. */
export interface SlotRequest {
  /** Whose slots are taken, such as a user's. */
  key: string;
  /** Maximum number of operations of this key that run at once. */
  max: number;
  /** How long it may wait. */
  maxWaitMs: number;
  /** Whether its client has closed the connection. */
  isGone: () => boolean;
}

interface Waiting {
  isGone: () => boolean;
  start: () => void;
  refuse: () => void;
}

interface Slots {
  running: number;
  waiting: Set<Waiting>;
}

/**
 * Limits how many operations of one client run at once. Others of the same client wait in the order in which they came.
 * One client's operations can therefore not take all connections of the database from the others.
 *
 * An operation takes one slot and never asks for a second one, so that operations cannot wait for one another.
 */
export class OperationSlots {
  readonly #clients = new Map<string, Slots>();
  readonly #gauges: { operations: number; operationsWaiting: number };

  constructor(gauges: { operations: number; operationsWaiting: number }) {
    this.#gauges = gauges;
  }

  /**
   * Takes a slot, and returns the function that gives it back.
   *
   * @throws ChatError `RATE_LIMITED` if too many wait already, or after `maxWaitMs`
   */
  async acquire({ key, max, maxWaitMs, isGone }: SlotRequest): Promise<() => void> {
    const slots = this.#slotsOf(key);
    if (slots.running >= max) await this.#wait(slots, maxWaitMs, isGone);
    else this.#start(slots);
    let isHeld = true;
    return () => {
      if (isHeld) this.#release(key, slots);
      isHeld = false;
    };
  }

  #slotsOf(key: string): Slots {
    let slots = this.#clients.get(key);
    if (!slots) this.#clients.set(key, (slots = { running: 0, waiting: new Set() }));
    return slots;
  }

  #wait(slots: Slots, maxWaitMs: number, isGone: () => boolean): Promise<void> {
    // Those whose client has gone must not keep others out.
    if (slots.waiting.size >= MAX_WAITING) for (const other of slots.waiting) if (other.isGone()) other.refuse();
    if (slots.waiting.size >= MAX_WAITING) throw rateLimited(RETRY_AFTER_MS);
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        slots.waiting.delete(waiting);
        this.#gauges.operationsWaiting -= 1;
      };
      const waiting: Waiting = {
        isGone,
        start: () => {
          leave();
          this.#start(slots);
          resolve();
        },
        refuse: () => {
          leave();
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
      if (!next.isGone()) {
        next.start();
        return;
      }
      next.refuse();
    }
    if (slots.running === 0) this.#clients.delete(key);
  }
}
