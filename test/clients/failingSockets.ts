import WebSocket from 'ws';

interface GraphQLError {
  message: string;
  extensions: { code: string };
}

/** Creates a WebSocket class, whose subscriptions fail on command. */
export function failingSockets() {
  const sockets = new Set<FailingSocket>();
  let failing: { text: string; error: GraphQLError } | null = null;
  let heldText: string | null = null;
  const held: (() => void)[] = [];

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
    override emit(event: string, ...args: any[]): boolean {
      if (event === 'message' && heldText !== null) {
        const { type, id } = JSON.parse(String(args[0]));
        if (type === 'next' && this.#queries.get(id)?.includes(heldText)) {
          held.push(() => super.emit(event, ...args));
          return false;
        }
      }
      return super.emit(event, ...args);
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
    /** Holds back all further results of subscriptions whose query contains the text, until `release`. */
    hold(text: string) {
      heldText = text;
    },
    /** Number of results that are held back. */
    held: () => held.length,
    release() {
      heldText = null;
      for (const emit of held.splice(0)) emit();
    },
  };
}
