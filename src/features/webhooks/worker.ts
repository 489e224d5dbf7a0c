import pLimit from 'p-limit';
import type { ServerNode } from '../../core/context.ts';
import type { RoomEvent } from '../../delivery/roomLog.ts';
import type { WebhookResponse } from '../../platform/web/webhookClient.ts';
import { readEventPage } from '../chatroomEvents/eventPage.ts';
import { deliver, isDeliverable } from './delivery.ts';
import {
  type Advance,
  failRoom,
  failWebhook,
  faultOfScan,
  hasEnded,
  type LeasedWebhook,
  listPendingRooms,
  type PendingRoom,
  recordFailure,
  recordSuccess,
  scanLogs,
} from './deliveryStore.ts';

/** Maximum number of rooms to which a webhook delivers at a time. Events of one room are delivered one by one. */
const MAX_ROOMS = 8;
/** Time between two updates of `last_success_at`, in milliseconds. Each update locks the row of the webhook. */
const SUCCESS_INTERVAL_MS = 1_000;

/** Times of the deliveries, in milliseconds. */
export interface DeliveryTimes {
  /** Time until the second attempt. Doubles with each further attempt. */
  firstDelayMs: number;
  maxDelayMs: number;
  /** Time for which an event is attempted. */
  giveUpMs: number;
}

/** Services of the node that deliveries use. */
export type DeliveryNode = Pick<ServerNode, 'database' | 'databaseId' | 'log' | 'logDays' | 'counters' | 'webhooks'>;

/** A room of a worker. */
interface Room {
  chatroomId: string;
  /** Position of the cursor. */
  seq: number;
  /** Last event of the log that is known. */
  lastSeq: number;
  /** Whether a hint announced events since the last page was read. */
  hasGrown: boolean;
  attempts: number;
  /** Timer of the next attempt. Undefined unless the room is waiting for it. */
  timer?: NodeJS.Timeout | undefined;
}

/**
 * Delivers one webhook while the node has its lease. Each room is a position in the room's log, as for a subscriber, so
 * nothing is queued twice. Rooms are independent: a room that fails waits for its next attempt, and the others go on.
 */
export class WebhookWorker {
  webhook: LeasedWebhook;
  readonly #node: DeliveryNode;
  readonly #times: DeliveryTimes;
  readonly #advance: (move: Advance) => Promise<boolean>;
  readonly #isLeased: () => boolean;
  readonly #limit = pLimit(MAX_ROOMS);
  /** Rooms that are behind. A room that has caught up is removed. */
  readonly #rooms = new Map<string, Room>();
  readonly #stopped = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #scan: 'idle' | 'scanning' | 'scanning, and again' = 'idle';
  #successAt = -Infinity;

  /**
   * @param options.advance moves a cursor; shared by all workers of the node, so that moves share a statement
   * @param options.isLeased returns whether the leases of the node are certainly valid
   */
  constructor(
    node: DeliveryNode,
    webhook: LeasedWebhook,
    {
      times,
      advance,
      isLeased,
    }: { times: DeliveryTimes; advance: (move: Advance) => Promise<boolean>; isLeased: () => boolean },
  ) {
    [this.#node, this.webhook, this.#times, this.#advance] = [node, webhook, times, advance];
    this.#isLeased = isLeased;
    this.#track(this.#start());
  }

  /**
   * Looks for new events of some rooms. A room that is behind reads its log to the end anyway. Only other rooms need a scan,
   * so that a receiver that hangs costs no statements however many messages are sent.
   */
  lookInto(chatroomIds: readonly string[]): void {
    const { chatroomId: only } = this.webhook;
    let needsScan = false;
    for (const id of chatroomIds) {
      const room = this.#rooms.get(id);
      if (room) room.hasGrown = true;
      else needsScan ||= only === null || only === id;
    }
    if (needsScan) this.scan();
  }

  /** Looks for new events of all rooms. */
  scan(): void {
    if (this.#scan === 'idle') this.#track(this.#scanAll());
    else this.#scan = 'scanning, and again';
  }

  /** Returns the number of rooms that are behind, and of the events that they have not delivered. */
  lag(): { rooms: number; events: number } {
    let events = 0;
    for (const { lastSeq, seq } of this.#rooms.values()) events += lastSeq - seq;
    return { rooms: this.#rooms.size, events };
  }

  /** Ends the requests in progress. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const { timer } of this.#rooms.values()) clearTimeout(timer);
    await Promise.all(this.#running);
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  /** Runs a task whose failure is an outage of the database. The next scan or attempt repeats its work. */
  #track(task: Promise<void>): void {
    const tracked = task
      .catch((error: unknown) => {
        this.#node.log.warn({ err: error, webhook: this.webhook.id }, 'A webhook could not be delivered for now.');
      })
      .finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  async #start(): Promise<void> {
    const { database, databaseId, logDays } = this.#node;
    this.#scan = 'scanning';
    try {
      const fault = await faultOfScan(database, this.webhook.id, databaseId, logDays);
      if (fault !== null) {
        await this.#fail(fault);
        return;
      }
      for (const room of await listPendingRooms(database, this.webhook)) this.#add(room);
    } finally {
      this.#scan = 'idle';
    }
    await this.#scanAll();
  }

  async #scanAll(): Promise<void> {
    try {
      do {
        this.#scan = 'scanning';
        for (const room of await scanLogs(this.#node.database, this.webhook)) this.#add(room);
      } while (this.#wasRequestedAgain() && !this.#isStopped());
    } finally {
      this.#scan = 'idle';
    }
  }

  #wasRequestedAgain(): boolean {
    return this.#scan === 'scanning, and again';
  }

  #add({ failed, waitMs, ...found }: PendingRoom): void {
    if (this.#isStopped() || failed) return;
    const known = this.#rooms.get(found.chatroomId);
    if (known) {
      known.lastSeq = Math.max(known.lastSeq, found.lastSeq);
      return;
    }
    if (found.seq >= found.lastSeq) return;
    const room: Room = { ...found, hasGrown: false };
    this.#rooms.set(room.chatroomId, room);
    if (waitMs > 0) this.#runLater(room, waitMs);
    else this.#run(room);
  }

  #runLater(
    room: Room,
    ms: number,
    run = () => {
      this.#run(room);
    },
  ): void {
    if (this.#isStopped()) return;
    room.timer = setTimeout(() => {
      room.timer = undefined;
      run();
    }, ms);
    room.timer.unref();
  }

  /** Delivers the next page of a room when there is a free place. Between two pages, other rooms get their turn. */
  #run(room: Room): void {
    this.#track(
      this.#limit(async () => {
        if (this.#isStopped()) return;
        let outcome: 'behind' | 'caught up' | 'waiting' | 'ended' | 'moved';
        try {
          outcome = await this.#deliverPage(room);
        } catch (error) {
          // The database could not be read or written.
          this.#runLater(room, this.#times.firstDelayMs);
          throw error;
        }
        if (this.#isStopped()) return;
        if (outcome === 'moved') await this.#reload(room);
        else if (outcome === 'ended' || (outcome === 'caught up' && room.seq >= room.lastSeq && !room.hasGrown))
          this.#rooms.delete(room.chatroomId);
        else if (outcome !== 'waiting') this.#run(room);
      }),
    );
  }

  /**
   * Reads the cursor of a room again, after something else has moved it. Without this, a worker that had lost the lease
   * could move the cursor, and the room would wait until its next event.
   */
  async #reload(room: Room): Promise<void> {
    const { chatroomId } = room;
    // Removed first, so that a scan that runs meanwhile adds the room with its current cursor.
    this.#rooms.delete(chatroomId);
    try {
      for (const found of await listPendingRooms(this.#node.database, this.webhook, chatroomId)) this.#add(found);
    } catch (error) {
      if (!this.#rooms.has(chatroomId)) {
        this.#rooms.set(chatroomId, room);
        this.#runLater(room, this.#times.firstDelayMs, () => {
          this.#track(this.#reload(room));
        });
      }
      throw error;
    }
  }

  async #deliverPage(room: Room): Promise<'behind' | 'caught up' | 'waiting' | 'ended' | 'moved'> {
    // Read before the page: a scan may find an event that was committed after the page was read.
    const { lastSeq } = room;
    room.hasGrown = false;
    const page = await readEventPage(this.#node, room.chatroomId, room.seq);
    const isIncomplete = page[0] ? page[0].seq !== room.seq + 1 : lastSeq > room.seq;
    if (isIncomplete) return this.#endIncomplete(room);
    /** Last event that was left out since the last move of the cursor. */
    let leftOut = room.seq;
    for (const event of page) {
      if (this.#isStopped()) return 'waiting';
      if (!this.webhook.events.includes(event.kind) || !isDeliverable(event)) {
        leftOut = event.seq;
        continue;
      }
      // A node that was paused does not know yet that another node delivers the webhook. The other node may be ahead, so
      // that this event would arrive after later ones.
      if (!this.#isLeased()) {
        this.#runLater(room, this.#times.firstDelayMs);
        return 'waiting';
      }
      const response = await deliver(this.#node, this.webhook, event, { signal: this.#stopped.signal });
      if (this.#isStopped() && response.error !== null) return 'waiting';
      if (response.error !== null) return this.#retryLater(room, event, leftOut, response);
      this.#count('delivered');
      if (!(await this.#moveTo(room, event.seq, true))) return 'moved';
      leftOut = event.seq;
    }
    if (leftOut > room.seq && !(await this.#moveTo(room, leftOut, false))) return 'moved';
    return page.length > 0 ? 'behind' : 'caught up';
  }

  /** Moves the cursor of a room. Returns false if something else has moved it, or if the lease has been lost. */
  async #moveTo(room: Room, to: number, delivered: boolean): Promise<boolean> {
    const { chatroomId, seq: from } = room;
    const moved = await this.#advance({
      webhookId: this.webhook.id,
      leaseId: this.webhook.leaseId,
      chatroomId,
      from,
      to,
    });
    if (!moved) return false;
    [room.seq, room.attempts] = [to, 0];
    room.lastSeq = Math.max(room.lastSeq, to);
    if (delivered && performance.now() - this.#successAt >= SUCCESS_INTERVAL_MS) {
      this.#successAt = performance.now();
      await recordSuccess(this.#node.database, this.webhook.id);
    }
    return true;
  }

  async #retryLater(
    room: Room,
    event: RoomEvent,
    leftOut: number,
    { status, error, retryAfterMs }: WebhookResponse,
  ): Promise<'waiting' | 'ended' | 'moved'> {
    this.#count('failed');
    if (status === 410) {
      await this.#fail('The receiver responded with status 410, which means that it is gone.');
      return 'ended';
    }
    if (leftOut > room.seq && !(await this.#moveTo(room, leftOut, false))) return 'moved';
    const { firstDelayMs, maxDelayMs, giveUpMs } = this.#times;
    const backoff = Math.min(firstDelayMs * 2 ** Math.min(room.attempts, 30), maxDelayMs);
    const delayMs = Math.min(Math.max(backoff, retryAfterMs ?? 0), maxDelayMs);
    const failure = { chatroomId: room.chatroomId, seq: room.seq, error: error ?? '', delayMs, giveUpMs };
    const outcome = await recordFailure(this.#node.database, this.webhook.id, failure);
    const fields = { webhook: this.webhook.id, room: room.chatroomId, seq: event.seq, reason: error };
    if (outcome === 'MOVED') return 'moved';
    if (outcome !== 'RETRY') {
      this.#node.log.warn(fields, 'A webhook has given up on an event.');
      if (outcome === 'WEBHOOK_FAILED') this.#stopped.abort();
      return 'ended';
    }
    this.#node.log.debug(fields, 'An attempt of a webhook failed.');
    room.attempts += 1;
    this.#runLater(room, delayMs);
    return 'waiting';
  }

  /** Handles a log that lacks the event after the cursor: the room has ended, or the log was pruned. */
  async #endIncomplete(room: Room): Promise<'ended'> {
    const { database, log } = this.#node;
    if (await hasEnded(database, room.chatroomId)) return 'ended';
    const error = `Event ${room.seq + 1} has been deleted from the log, which keeps events for LOG_DAYS. Call resumeWebhook with \`from\`.`;
    await failRoom(database, this.webhook.id, room, error);
    log.warn({ webhook: this.webhook.id, room: room.chatroomId }, error);
    return 'ended';
  }

  async #fail(error: string): Promise<void> {
    this.#node.log.warn({ webhook: this.webhook.id }, `A webhook has failed: ${error}`);
    this.#stopped.abort();
    await failWebhook(this.#node.database, this.webhook.id, error);
  }

  #count(outcome: 'delivered' | 'failed'): void {
    this.#node.counters.webhooks[outcome] += 1;
  }
}
