declare module '../../core/context.ts' {
  interface ServerNode {
    gauges: Gauges;
    counters: Counters;
  }
}

/**
 * Resources that a node holds for clients. Each number returns to zero when the clients have gone, however they left.
 */
export interface Gauges {
  /** Whether the node accepts requests. False while it shuts down. */
  ready: boolean;
  sockets: number;
  /** Open subscriptions over both transports. */
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
}

/** Events delivered to the subscribers of one transport, and the executions they needed. */
export interface DeliveryCounters {
  delivered: number;
  /** Executions whose result was shared by all subscribers with an equal operation. */
  shared: number;
  /** Executions for one subscriber. */
  unshared: number;
}

/**
 * Totals since the node started. They are plain numbers, so that counting a delivery costs one addition. Metrics are
 * derived from them only during a scrape.
 */
export interface Counters {
  /** Acknowledged messages. A retry of an acknowledged message does not count. */
  sent: number;
  websocket: DeliveryCounters;
  sse: DeliveryCounters;
  /** Events of watched rooms that a poll found first, because their notification was lost or late. */
  recoveredByPoll: number;
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
  };
}

export function createCounters(): Counters {
  const createTally = (): DeliveryCounters => ({ delivered: 0, shared: 0, unshared: 0 });
  return { sent: 0, websocket: createTally(), sse: createTally(), recoveredByPoll: 0 };
}
