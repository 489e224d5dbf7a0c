import { bearer, roomId } from '../world.ts';
import type { Client, Sender } from './client.ts';
import { openHttp } from './http.ts';
import { type LeanSocket, openSocket, type OnText } from './socket.ts';

/** Runs an operation over HTTP. @throws An error with the response if it contains errors. */
async function ask(post: (body: string) => Promise<string>, query: string, variables: object): Promise<string> {
  const answer = await post(JSON.stringify({ query, variables }));
  if (answer.includes('"errors":')) throw new Error(answer.slice(0, 500));
  return answer;
}

/** How a stack accepts GraphQL: its path, authorization and operations. */
export interface Dialect {
  path: string;
  authorization: (user: number) => Promise<string>;
  /** If true, the WebSocket sends the authorization in `connection_init`, otherwise as a header. */
  inParams: boolean;
  send: string;
  variables: (room: number, body: string, attachmentId?: string) => object;
  subscribe: string;
  room: (room: number) => string | number;
}

/** Creates a client for GraphQL over HTTP and `graphql-transport-ws`. */
function graphqlClient(dialect: Dialect): Client {
  return {
    async listen(url, user, room, onText) {
      const socket = await openGraphQL(dialect, url, user, onText);
      socket.subscribe({ room: dialect.room(room) });
      return socket;
    },
    async openSender(url, user) {
      const http = openHttp(url, { authorization: await dialect.authorization(user) });
      return {
        async send(room, body) {
          await ask((text) => http.request('POST', dialect.path, text), dialect.send, dialect.variables(room, body));
        },
        close: http.close,
      };
    },
  };
}

/** An acknowledged socket. Without a query and an id, `subscribe` subscribes to the messages of a room. */
export interface GraphQLSocket extends LeanSocket {
  subscribe: (variables: object, query?: string, id?: string) => void;
}

/** Opens a socket for `graphql-transport-ws`. Resolves after the server has acknowledged it. */
export async function openGraphQL(dialect: Dialect, url: string, user: number, onText: OnText): Promise<GraphQLSocket> {
  const authorization = await dialect.authorization(user);
  let onAck: () => void = () => undefined;
  let onFailed: (error: Error) => void = () => undefined;
  let acknowledged = false;
  const ack = new Promise<void>((resolve, reject) => ([onAck, onFailed] = [resolve, reject]));
  const socket = await openSocket(url.replace('http', 'ws') + dialect.path, {
    protocol: 'graphql-transport-ws',
    headers: dialect.inParams ? {} : { authorization },
    onText(bytes, start, end) {
      if (acknowledged) {
        onText(bytes, start, end);
        return;
      }
      const text = bytes.toString('utf8', start, end);
      if (!text.includes('connection_ack')) return;
      acknowledged = true;
      onAck();
    },
  });
  void socket.closed.then((why) => {
    onFailed(new Error(why));
  });
  socket.send(JSON.stringify({ type: 'connection_init', ...(dialect.inParams ? { payload: { authorization } } : {}) }));
  await ack;
  return {
    ...socket,
    subscribe(variables, query = dialect.subscribe, id = '1') {
      socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables } }));
    },
  };
}

/** Opens a sender that sends one message at a time over a WebSocket. */
async function openSocketSender(dialect: Dialect, url: string, user: number): Promise<Sender> {
  let sent = 0;
  let onAnswer: (error?: Error) => void = () => undefined;
  const socket = await openGraphQL(dialect, url, user, (bytes, start, end) => {
    const text = bytes.toString('utf8', start, end);
    if (text.includes('"type":"next"') && !text.includes('"errors":')) onAnswer();
    else if (!text.includes('"type":"complete"')) onAnswer(new Error(text.slice(0, 500)));
  });
  void socket.closed.then((why) => {
    onAnswer(new Error(why));
  });
  return {
    send: (room, body, attachmentId) =>
      new Promise((resolve, reject) => {
        onAnswer = (error) => {
          if (error) reject(error);
          else resolve();
        };
        sent += 1;
        socket.subscribe(dialect.variables(room, body, attachmentId), dialect.send, String(sent));
      }),
    close: socket.close,
  };
}

const RIVAL_SELECTION = 'id body createdAt sender { id username nickname }';

export const parley: Dialect = {
  ...{ path: '/graphql', authorization: bearer, inParams: true, room: roomId },
  send: 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { number createdAt } } }',
  variables: (room, body, attachmentId) => ({
    input: { chatroomId: roomId(room), body, ...(attachmentId === undefined ? {} : { attachmentIds: [attachmentId] }) },
  }),
  subscribe: `subscription ($room: ID!, $after: String) { messageAdded(chatroomId: $room, after: $after) {
    cursor message { id number body createdAt sender { id username nickname } } } }`,
};
export const plain: Dialect = {
  ...{ path: '/graphql', authorization: (user: number) => Promise.resolve(String(user)), inParams: true },
  send: 'mutation ($room: Int!, $body: String!) { sendMessage(room: $room, body: $body) { id createdAt } }',
  variables: (room, body) => ({ room, body }),
  subscribe: `subscription ($room: Int!) { messageAdded(room: $room) { ${RIVAL_SELECTION} } }`,
  room: (room) => room,
};
const mercurius: Dialect = {
  ...{ ...plain, inParams: false },
  send: plain.send.replace('Int!', 'ID!'),
  subscribe: plain.subscribe.replace('Int!', 'ID!'),
};

export const parleyClient: Client = {
  ...graphqlClient(parley),
  // Like @parley/client, which sends over its socket while it is open.
  openSender: (url, user) => openSocketSender(parley, url, user),
  openHttpSender: (url, user) => graphqlClient(parley).openSender(url, user),
};
export const plainClient = graphqlClient(plain);
export const mercuriusClient = graphqlClient(mercurius);

/** Subscribes to a room of Parley after a cursor. */
export async function resumeAtParley(
  url: string,
  user: number,
  resume: { room: number; after: string },
  onText: OnText,
): Promise<LeanSocket> {
  const socket = await openGraphQL(parley, url, user, onText);
  socket.subscribe({ room: roomId(resume.room), after: resume.after });
  return socket;
}

/** An HTTP connection for one operation at a time. */
export interface Asker {
  /** Runs an operation and returns the response. @throws An error with the response if it contains errors. */
  ask: (query: string, variables?: object) => Promise<string>;
  close: () => void;
}

/** Opens an HTTP connection to Parley, or to the stack of another dialect, for one user. */
export async function openParley(url: string, user: number, dialect = parley): Promise<Asker> {
  const http = openHttp(url, { authorization: await dialect.authorization(user) });
  return {
    ask: (query, variables = {}) => ask((text) => http.request('POST', dialect.path, text), query, variables),
    close: http.close,
  };
}
