import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

/** Operation and target of a stream. */
export interface Asked {
  /** Address of the node, `http://…`. */
  url: string;
  token: string;
  query: string;
  variables: Record<string, unknown>;
  /** True for a slow reader, which cannot distinguish a hanging node from its own slowness. */
  patient: boolean;
}

/** Callbacks of a stream. `onEnd` is called once, last. */
export interface Heard {
  onOpen: () => void;
  onEvent: (data: any) => void;
  /** Called when an event could not be executed. Clients continue to read. */
  onFailure: (code: string) => void;
  onEnd: (code: string) => void;
}

/** Opens a stream. Returns a function that disconnects. */
export type Open = (asked: Asked, heard: Heard) => () => void;

/**
 * Handles errors of a socket that is abandoned while it connects. Without a listener, they would crash this process.
 */
export class PatientSocket extends WebSocket {
  constructor(url: string, protocols?: string | string[]) {
    super(url, protocols);
    this.on('error', () => undefined);
  }
}

/**
 * Maximum silence in milliseconds. Over a WebSocket it counts from a ping of the client. Over SSE the node pings every
 * 12 s.
 */
const PATIENCE_MS = { webSocket: 4_000, sse: 15_000 };

export const overWebSocket: Open = (asked, { onOpen, onEvent, onFailure, onEnd }) => {
  const patience: { timer?: NodeJS.Timeout } = {};
  let over = false;
  let failure = 'COMPLETE';
  const end = (code: string) => {
    if (over) return;
    over = true;
    clearTimeout(patience.timer);
    client.terminate();
    onEnd(code);
  };
  const client = createClient({
    url: `${asked.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: PatientSocket,
    connectionParams: { authorization: `Bearer ${asked.token}` },
    retryAttempts: 0,
    connectionAckWaitTimeout: 5_000,
    keepAlive: asked.patient ? 0 : 3_000,
    on: {
      connected: onOpen,
      ping(heard) {
        if (!heard)
          patience.timer = setTimeout(() => {
            end('NO_PONG');
          }, PATIENCE_MS.webSocket);
      },
      pong(heard) {
        if (heard) clearTimeout(patience.timer);
      },
    },
  });
  client.subscribe(
    { query: asked.query, variables: asked.variables },
    {
      next({ data, errors }) {
        if (over) return;
        if (!errors) return void onEvent(data);
        failure = codeOf(errors);
        onFailure(failure);
      },
      error(error) {
        end(codeOf(error));
      },
      complete() {
        // A refused subscription yields one result with errors, which ends the stream.
        end(failure);
      },
    },
  );
  return () => {
    end('HUNG_UP');
  };
};

export const overSse: Open = (asked, { onOpen, onEvent, onFailure, onEnd }) => {
  const aborting = new AbortController();
  let failure = 'COMPLETE';
  let over = false;
  let silence: NodeJS.Timeout | undefined;
  const end = (code: string) => {
    if (over) return;
    over = true;
    clearTimeout(silence);
    aborting.abort();
    onEnd(code);
  };
  const hear = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      end('NO_PONG');
    }, PATIENCE_MS.sse);
  };

  function take(block: string): void {
    const lines = block.split('\n');
    const field = (name: string) =>
      lines
        .find((line) => line.startsWith(`${name}:`))
        ?.slice(name.length + 1)
        .trim();
    if (field('event') === 'complete') return void end(failure);
    const text = field('data');
    if (over || text === undefined || text === '') return;
    const { data, errors } = JSON.parse(text) as { data?: unknown; errors?: unknown };
    if (!errors) return void onEvent(data);
    failure = codeOf(errors);
    onFailure(failure);
  }

  async function read(): Promise<string> {
    const response = await fetch(`${asked.url}/graphql`, {
      method: 'POST',
      headers: {
        ...{ 'content-type': 'application/json', accept: 'text/event-stream' },
        authorization: `Bearer ${asked.token}`,
      },
      body: JSON.stringify({ query: asked.query, variables: asked.variables }),
      signal: aborting.signal,
    });
    if (!response.headers.get('content-type')?.startsWith('text/event-stream'))
      return codeOf(((await response.json()) as { errors?: unknown }).errors);
    onOpen();
    let text = '';
    for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      hear();
      const blocks = (text + chunk).split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) take(block);
    }
    return 'NETWORK cut off';
  }

  hear();
  read().then(end, (error: unknown) => {
    end(`NETWORK ${(error as Error).message}`);
  });
  return () => {
    end('HUNG_UP');
  };
};

/** Returns the code of a failure: the code of GraphQL errors, or the close code of the socket. */
export function codeOf(error: unknown): string {
  if (Array.isArray(error)) return String((error[0] as { extensions?: { code?: string } }).extensions?.code);
  const { code, message } = error as { code?: number; message?: string };
  return code === undefined ? `NETWORK ${message ?? ''}` : `CLOSED ${code}`;
}
