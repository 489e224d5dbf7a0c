import WebSocket from 'ws';

interface GraphQLError {
  message: string;
  extensions: { code: string };
}

/** Creates a WebSocket class, whose subscriptions fail on command. */
export function failingSockets() {
  const sockets = new Set<FailingSocket>();
  let failing: { text: string; error: GraphQLError } | null = null;

  class FailingSocket extends WebSocket {
    /** Queries by the ids of their operations. */
    readonly #queries = new Map<string, string>();
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      sockets.add(this);
    }
    override send(...[data, ...rest]: [any, any?, any?]): void {
      const { type, id, payload } = JSON.parse(String(data));
      if (type === 'complete') this.#queries.delete(id);
      if (type === 'subscribe') this.#queries.set(id, payload.query);
      if (type === 'subscribe' && failing && payload.query.includes(failing.text))
        queueMicrotask(() => {
          this.failAll();
        });
      else super.send(data, ...rest);
    }
    failAll(): void {
      if (!failing) return;
      for (const [id, query] of this.#queries) {
        if (!query.includes(failing.text)) continue;
        this.#queries.delete(id);
        this.emit('message', Buffer.from(JSON.stringify({ id, type: 'error', payload: [failing.error] })), false);
      }
    }
  }

  return {
    webSocketImpl: FailingSocket,
    /** Ends all subscriptions whose query contains the text, with an error. New ones fail, too, until `recover`. */
    fail(text: string, error: GraphQLError) {
      failing = { text, error };
      for (const socket of sockets) socket.failAll();
    },
    recover() {
      failing = null;
    },
  };
}
