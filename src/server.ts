import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { DocumentNode, ExecutionArgs, GraphQLError, GraphQLSchema } from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import { authenticate, originOf } from './auth/sessions.ts';
import type { Config } from './config.ts';
import { type Context, freshContext, type ServerNode } from './context.ts';
import { type StatementListener, sql } from './database/database.ts';
import { graphiqlOptions } from './graphiql.ts';
import { createErrorMask } from './mask.ts';
import { createContext, createNode } from './node.ts';
import { subscribe } from './realtime/subscribe.ts';
import { type Operation, serveWebSockets, type WebSocketServing } from './realtime/websocket.ts';
import { buildSchema } from './schema.ts';

const PATH = '/graphql';

export interface RunningServer {
  /** Where it listens, such as `http://localhost:4000`. */
  url: string;
  node: ServerNode;
  /** Lets requests in flight finish, closes sockets with 1012, and gives back everything it holds. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  databaseUrl: string;
  authSecret: string;
  log: Logger;
  onStatement?: StatementListener;
}

/** What a transport knows of an operation before GraphQL does. */
interface Transport {
  authorization: unknown;
  incoming: IncomingMessage;
}

/** Starts one node on a database that is migrated already. */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  const node = await createNode({ ...options, poolSize: config.DATABASE_POOL_SIZE, redisUrl: config.REDIS_URL });
  const yoga = createGraphQL(config, node);
  const inFlight = new Set<Promise<unknown>>();
  const server = createServer((request, response) => {
    const finished = once(response, 'close');
    inFlight.add(finished);
    void finished.finally(() => inFlight.delete(finished));
    // Not by `new URL`, which throws at some paths that a client can send.
    const [pathname = '/'] = (request.url ?? '/').split('?', 1);
    if (pathname === PATH)
      void yoga(request, response, { authorization: request.headers.authorization, incoming: request });
    else void answerOther(node, pathname, response);
  });
  const webSockets = serveWebSockets({ server, path: PATH, ...webSocketServing(config, node, yoga) });

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.PORT, config.HOST, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST}:${port}`,
    node,
    async stop() {
      const closed = new Promise<void>((resolve) =>
        server.close(() => {
          resolve();
        }),
      );
      await webSockets.close();
      // Streams over SSE never end by themselves: without the tails they do.
      node.tails.close();
      await Promise.all(inFlight);
      // What is left are connections that clients keep for later.
      server.closeAllConnections();
      await closed;
      await yoga.dispose();
      await node.close();
    },
  };
}

function createGraphQL(config: Config, node: ServerNode) {
  const mask = createErrorMask(node.log);
  return createYoga<Transport, Context>({
    schema: buildSchema(),
    graphqlEndpoint: PATH,
    landingPage: false,
    batching: false,
    logging: false,
    cors: config.ALLOWED_ORIGINS.length > 0 ? { origin: config.ALLOWED_ORIGINS, credentials: true } : false,
    graphiql: config.NODE_ENV === 'production' ? false : () => graphiqlOptions(node),
    renderGraphiQL,
    maskedErrors: { maskError: mask },
    context: ({ authorization, incoming }) =>
      createContext(node, authorization, originOf(incoming.socket.remoteAddress, incoming.headers['user-agent'])),
    plugins: [freshContexts, maskValidation(mask)],
  });
}

/** Executes each event of a subscription in a context of its own. */
const freshContexts: Plugin = {
  onSubscribe({ setSubscribeFn }) {
    setSubscribeFn((args: ExecutionArgs) => subscribe<Context>(args, freshContext));
  },
};

/** What does not validate is an error like any other. */
function maskValidation(mask: (error: unknown) => GraphQLError): Plugin {
  return {
    onValidate:
      () =>
      ({ result, setResult }) => {
        setResult(result.map(mask));
      },
  };
}

/** What Yoga answers for one operation, with its plugins around each step; its own types say `any`. */
interface Pipeline {
  schema: GraphQLSchema;
  parse: (query: string) => DocumentNode;
  validate: (schema: GraphQLSchema, document: DocumentNode) => readonly GraphQLError[];
  contextFactory: () => Promise<Context>;
  execute: Operation['rootValue']['execute'];
  subscribe: Operation['rootValue']['subscribe'];
}

/** Operations over WebSocket go through the same pipeline as over HTTP. */
function webSocketServing(config: Config, node: ServerNode, yoga: ReturnType<typeof createGraphQL>): WebSocketServing {
  return {
    allowsOrigin: (origin, host) => origin.endsWith(`//${host ?? ''}`) || config.ALLOWED_ORIGINS.includes(origin),
    mask: createErrorMask(node.log),
    async admit(authorization) {
      const { viewer, rejected } = await authenticate(node, authorization);
      return rejected
        ? { admitted: false, retry: rejected.code === 'TOKEN_EXPIRED', reason: rejected.message }
        : { admitted: true, expiresAt: viewer?.expiresAt };
    },
    async prepare(authorization: unknown, incoming: IncomingMessage, params: SubscribePayload) {
      const pipeline = yoga.getEnveloped({ authorization, incoming, params } as never) as Pipeline;
      const document = pipeline.parse(params.query);
      const errors = pipeline.validate(pipeline.schema, document);
      if (errors.length > 0) return errors;
      return {
        schema: pipeline.schema,
        document,
        operationName: params.operationName,
        variableValues: params.variables,
        contextValue: await pipeline.contextFactory(),
        rootValue: { execute: pipeline.execute, subscribe: pipeline.subscribe },
      };
    },
  };
}

/** What is not GraphQL: whether the node lives and can serve, for those who run it. */
async function answerOther(node: ServerNode, pathname: string, response: ServerResponse): Promise<void> {
  switch (pathname) {
    case '/':
      response.writeHead(302, { location: PATH }).end();
      return;
    case '/health/live':
      response.writeHead(200, { 'content-type': 'text/plain' }).end('alive\n');
      return;
    case '/health/ready': {
      const ready = await node.database.query(sql`SELECT 1`).then(
        () => true,
        () => false,
      );
      response
        .writeHead(ready ? 200 : 503, { 'content-type': 'text/plain' })
        .end(ready ? 'ready\n' : 'The database does not answer.\n');
      return;
    }
    default:
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`Nothing is here. The API is at ${PATH}.\n`);
  }
}
