/** What a node holds open for clients. Each number is zero again when they have gone, whichever way they went. */
export interface Open {
  /** Whether the node takes more; false while it stops. */
  ready: boolean;
  sockets: number;
  /** Subscriptions over both transports. */
  streams: number;
  /** Those of them that are over SSE. */
  sse: number;
  /** Those of them whose WebSocket must be drained before it gets more: their clients do not read. */
  waiting: number;
  /** What reads the logs of rooms for them, and what keeps hints for them. */
  followers: number;
  mailboxes: number;
  /** Operations in progress, and those that wait for one of their client's to end. Open subscriptions are not counted. */
  operations: number;
  operationsWaiting: number;
}

/** What has been sent to the subscribers of one transport, and how often an event was executed for that. */
export interface Tally {
  delivered: number;
  /** Executions whose result was given to all who asked the same. */
  shared: number;
  /** Executions for one subscriber. */
  own: number;
}

/**
 * What a node has done since it started: plain numbers, so that counting a delivery costs an addition, and nothing is
 * worked out until somebody looks.
 */
export interface Counts {
  /** Messages that were acknowledged; a retry of one that had been is none. */
  sent: number;
  websocket: Tally;
  sse: Tally;
  /** Events of watched rooms of which the sweep knew before any nudge: those whose nudge was lost or late. */
  healed: number;
}

export function createOpen(): Open {
  return {
    ...{ ready: true, sockets: 0, streams: 0, sse: 0, waiting: 0, followers: 0, mailboxes: 0 },
    ...{ operations: 0, operationsWaiting: 0 },
  };
}

export function createCounts(): Counts {
  const createTally = (): Tally => ({ delivered: 0, shared: 0, own: 0 });
  return { sent: 0, websocket: createTally(), sse: createTally(), healed: 0 };
}
