import { once } from 'node:events';
import { createClient, type Client as WebSocketClient, type CloseCode } from 'graphql-ws';
import { expect, onTestFinished } from 'vitest';
import WebSocket from 'ws';
import { nodes } from './server.ts';

/** Number of open subscriptions per server, including those that are still being set up. */
const asked = new Map<string, number>();

export interface GraphQLResult<Data = any> {
  data?: Data;
  errors?: { message: string; path?: (string | number)[]; extensions: { code: string; [key: string]: unknown } }[];
}

/** Sends one operation over HTTP and returns the response. */
export async function request(
  url: string,
  query: string,
  variables: object = {},
  headers: Record<string, string> = {},
): Promise<GraphQLResult> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()) as GraphQLResult;
}

/** A signed-in user, and functions that call a node on the user's behalf. */
export interface Person {
  /** URL of the node. */
  url: string;
  id: string;
  username: string;
  accessToken: string;
  refreshToken: string;
  /** Runs an operation and returns its data. Fails the test if there is an error. */
  ask(query: string, variables?: object): Promise<any>;
  /** Runs an operation and returns the code of its first error. Fails the test if there is none. */
  askForErrorCode(query: string, variables?: object): Promise<string>;
  /** Returns the same person at another node. */
  at(url: string): Person;
  /** Returns the same person with other tokens: another device, or a refreshed session. */
  on(tokens: { accessToken: string; refreshToken?: string }): Person;
  /** Opens a WebSocket. */
  connect(): Connection;
}

/** Returns the authorization header of a person. */
export const bearer = ({ accessToken }: Pick<Person, 'accessToken'>) => ({ authorization: `Bearer ${accessToken}` });
/** Returns the error codes of a result. */
export const codesOf = ({ errors = [] }: GraphQLResult) => errors.map(({ extensions }) => extensions.code);

const SIGN_UP = `mutation ($input: SignUpInput!) {
  signUp(input: $input) { accessToken refreshToken viewer { user { id username } } }
}`;

export const PASSWORD = 'correct horse';

/** Creates an account. */
export async function signUp(url: string, username: string): Promise<Person> {
  const { data, errors } = await request(url, SIGN_UP, { input: { username, password: PASSWORD } });
  if (!data) throw new Error(JSON.stringify(errors));
  const { accessToken, refreshToken, viewer } = data.signUp;
  return person(url, { ...viewer.user, accessToken, refreshToken });
}

/** Returns an account that exists as a person. */
export function person(url: string, account: Pick<Person, 'id' | 'username' | 'accessToken' | 'refreshToken'>): Person {
  const headers = { authorization: `Bearer ${account.accessToken}` };
  return {
    ...account,
    url,
    async ask(query, variables) {
      const { data, errors } = await request(url, query, variables, headers);
      if (errors) throw new Error(`${query}\n${JSON.stringify(errors)}`);
      return data;
    },
    async askForErrorCode(query, variables) {
      const { errors } = await request(url, query, variables, headers);
      if (!errors?.[0]) throw new Error(`${query}\nwas not refused`);
      return errors[0].extensions.code;
    },
    at: (otherUrl) => person(otherUrl, account),
    on: (tokens) => person(url, { ...account, ...tokens }),
    connect: () => connect(url, account.accessToken),
  };
}

/** Events of a subscription. */
export interface Stream<Event = any> {
  /**
   * Resolves when all subscriptions so far are active on the server. Clients cannot observe this, and only need it if
   * they could miss events.
   */
  ready(): Promise<void>;
  /** All events so far. */
  received: Event[];
  /** Resolves with the first event that was not taken yet. */
  next(): Promise<Event>;
  /** Resolves with the next `count` events. */
  take(count: number): Promise<Event[]>;
  /** Resolves at the end: undefined if the stream completed, else the errors. */
  ended: Promise<unknown>;
  stop(): void;
}

export interface Connection {
  client: WebSocketClient;
  /** Subscribes without waiting for the server. */
  subscribe(query: string, variables?: object): Stream;
  /** Runs a query or mutation over the socket. */
  ask(query: string, variables?: object): Promise<GraphQLResult>;
  /** Code with which the server closed the socket. */
  closed: Promise<CloseCode | number>;
  /** Cuts the connection without a close frame. */
  cut(): void;
}

/** Connects a graphql-ws client that does not reconnect. */
export function connect(url: string, accessToken?: string): Connection {
  let socket: WebSocket | undefined;
  let onClosed: (code: number) => void;
  const closed = new Promise<number>((resolve) => (onClosed = resolve));
  const client = createClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazy: false,
    onNonLazyError: () => undefined,
    ...(accessToken === undefined ? {} : { connectionParams: { authorization: `Bearer ${accessToken}` } }),
    on: {
      opened: (opened) => {
        socket = opened as WebSocket;
      },
      closed: (event) => {
        onClosed((event as { code: number }).code);
      },
    },
  });
  onTestFinished(async () => {
    await client.dispose();
  });
  return {
    client,
    closed,
    cut: () => socket?.terminate(),
    subscribe: (query, variables) => listen(client, url, query, variables),
    ask: (query, variables) =>
      new Promise((resolve, reject) => {
        let result: GraphQLResult | undefined;
        client.subscribe(
          { query, variables: variables as Record<string, unknown> },
          {
            next: (value) => {
              result = value as GraphQLResult;
            },
            error: (errors) => {
              if (Array.isArray(errors)) resolve({ errors: errors as GraphQLResult['errors'] });
              else reject(new Error(String(errors)));
            },
            complete: () => {
              resolve(result ?? {});
            },
          },
        );
      }),
  };
}

/** Returns the status with which a WebSocket handshake is refused, or 101 if it succeeds. */
export async function handshake(url: string, headers: Record<string, string> = {}): Promise<number | undefined> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  onTestFinished(() => {
    socket.terminate();
  });
  socket.on('error', () => undefined);
  return Promise.race([
    once(socket, 'unexpected-response').then(([, response]) => (response as { statusCode?: number }).statusCode),
    once(socket, 'open').then(() => 101),
  ]);
}

/** Returns the `connection_ack` payload of a new socket. */
export function acknowledged(person: Person): Promise<unknown> {
  return new Promise((resolve) => {
    person.connect().client.on('connected', (_socket, payload) => {
      resolve(payload);
    });
  });
}

function listen(client: WebSocketClient, url: string, query: string, variables?: object): Stream {
  asked.set(url, (asked.get(url) ?? 0) + 1);
  const received: any[] = [];
  let taken = 0;
  let wake: () => void = () => undefined;
  let failed: unknown;
  let finish: (how: unknown) => void;
  const ended = new Promise<unknown>((resolve) => (finish = resolve)).finally(() => {
    asked.set(url, (asked.get(url) ?? 0) - 1);
  });
  const stop = client.subscribe(
    { query, variables: variables as Record<string, unknown> },
    {
      next(result) {
        if (result.errors) failed = result.errors;
        else received.push(Object.values(result.data ?? {})[0]);
        wake();
      },
      error(errors) {
        failed = errors;
        finish(errors);
        wake();
      },
      complete() {
        finish(failed);
        wake();
      },
    },
  );
  async function next() {
    while (received.length <= taken) {
      if (failed) throw new Error(JSON.stringify(failed));
      await new Promise<void>((resolve) => (wake = resolve));
    }
    return received[taken++];
  }
  return {
    async ready() {
      await expect.poll(() => nodes.get(url)?.gauges.streams).toBeGreaterThanOrEqual(asked.get(url) ?? 0);
    },
    received,
    ended,
    stop,
    next,
    async take(count) {
      const events = [];
      while (events.length < count) events.push(await next());
      return events;
    },
  };
}
