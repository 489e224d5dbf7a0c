declare module '../../core/context.ts' {
  interface ServerNode {
    gauges: Gauges;
    counters: Counters;
  }
}

/**
 * Numbers of the resources that a node currently uses for clients. Each number returns to zero when all clients have
 * disconnected.
 */
export interface Gauges {
  /** Whether the node accepts requests. False while it shuts down. */
  ready: boolean;
  sockets: number;
  /** Open subscriptions over WebSocket and SSE. */
  streams: number;
  /** Open subscriptions over SSE. */
  sse: number;
  /** WebSocket subscriptions paused by backpressure, because the client does not read. */
  backpressured: number;
  conflatedStreams: number;
  /** Operations in progress. Excludes open subscriptions. */
  operations: number;
  /** Operations that wait until another operation of the same client has ended. */
  operationsWaiting: number;
  /** Uploaded files that are inspected or processed, or wait for it. */
  imageTasks: number;
}

/** Numbers of the events delivered over one transport, and of the executions for these events. */
export interface DeliveryCounters {
  delivered: number;
  /** Executions whose result was shared by all subscribers with an equal operation. */
  shared: number;
  /** Executions for one subscriber. */
  unshared: number;
}

/**
 * Totals since the node started. They are plain numbers, which are cheap to increment. The metrics read the totals
 * during a scrape.
 */
export interface Counters {
  /** Acknowledged messages. A retry of an acknowledged message does not count. */
  sent: number;
  websocket: DeliveryCounters;
  sse: DeliveryCounters;
  /** Events of watched rooms that a poll found before their notification. The notification was lost or late. */
  recoveredByPoll: number;
  /** Attempts to deliver events to webhooks. */
  webhooks: { delivered: number; failed: number };
}

export function createGauges(): Gauges {
  return {
    ready: true,
    sockets: 0,
    streams: 0,
    sse: 0,
    backpressured: 0,
    conflatedStreams: 0,
    operations: 0,
    operationsWaiting: 0,
    imageTasks: 0,
  };
}

export function createCounters(): Counters {
  const createTally = (): DeliveryCounters => ({ delivered: 0, shared: 0, unshared: 0 });
  return {
    sent: 0,
    websocket: createTally(),
    sse: createTally(),
    recoveredByPoll: 0,
    webhooks: { delivered: 0, failed: 0 },
  };
}
