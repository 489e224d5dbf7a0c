import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  commitMutation,
  ConnectionHandler,
  createOperationDescriptor,
  Environment,
  fetchQuery,
  getSingularSelector,
  Network,
  Observable,
  RecordSource,
  requestSubscription,
  Store,
} from 'relay-runtime';
import { expect, onTestFinished, test } from 'vitest';
import type { ChatClient } from '../../client/index.ts';
import { send, world } from '../support/world.ts';
import { chatOf, sendAll } from './chatOf.ts';
import { startRestarting } from './restarting.ts';

const run = promisify(execFile);
const require = createRequire(import.meta.url);

/** Compiles the documents of relay/ against the schema. Returns a function that loads a document by name. */
async function compile(): Promise<(name: string) => any> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-relay-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await cp('test/clients/relay', join(folder, 'src'), { recursive: true });
  await cp('schema.graphql', join(folder, 'schema.graphql'));
  await mkdir(join(folder, 'generated'));
  const config = { src: 'src', schema: 'schema.graphql', language: 'javascript', eagerEsModules: false };
  await writeFile(join(folder, 'relay.json'), JSON.stringify({ ...config, artifactDirectory: 'generated' }));
  await run(process.execPath, [require.resolve('relay-compiler/cli.js'), 'relay.json'], { cwd: folder });
  return (name) => require(join(folder, 'generated', `${name}.graphql.js`));
}

/** Creates a Relay environment that uses the chat client as its network. */
function environmentOf(chat: ChatClient): Environment {
  const network = Network.create(
    ({ text }, variables) => chat.request(text ?? '', variables) as Promise<any>,
    ({ text }, variables) =>
      Observable.create((sink) => {
        const stream = chat.subscribe(text ?? '', variables);
        void (async () => {
          for await (const data of stream) sink.next({ data });
        })().then(
          () => {
            sink.complete();
          },
          (error: unknown) => {
            sink.error(error as Error);
          },
        );
        return () => void stream.return();
      }),
  );
  return new Environment({ network, store: new Store(new RecordSource()) });
}

test('a Relay list pages, appends and deletes edges, over a restart', { timeout: 150_000 }, async () => {
  const load = await compile();
  const server = await startRestarting();
  const { ann, ben, room } = await world(server);
  for (let i = 1; i <= 25; i += 1) await send(ann, room, String(i));
  const environment = environmentOf(chatOf(ben));

  const query = createOperationDescriptor(load('RoomQuery'), { room });
  onTestFinished(environment.retain(query).dispose);
  const { cursor } = ((await fetchQuery(environment, load('RoomQuery'), { room }).toPromise()) as any).chatroom;
  const list = () => {
    const { chatroom } = environment.lookup(query.fragment).data as any;
    const { messages } = environment.lookup(getSingularSelector(load('Room_chatroom'), chatroom)).data as any;
    return { ...messages, numbers: messages.edges.map((edge: any) => edge.node.number) };
  };
  expect(list().numbers).toEqual(upTo(25).slice(-10));
  for (let pages = 1; pages < 3; pages += 1) {
    const variables = { id: room, last: 10, before: list().pageInfo.startCursor };
    await fetchQuery(environment, load('RoomPaginationQuery'), variables).toPromise();
  }
  expect(list().numbers).toEqual(upTo(25));

  const connections = [ConnectionHandler.getConnectionID(room, 'Room_messages')];
  let received = 0;
  const { dispose } = requestSubscription(environment, {
    subscription: load('RoomAddedSubscription'),
    variables: { room, after: cursor, connections },
    onNext: () => void (received += 1),
  });
  onTestFinished(dispose);
  const sending = sendAll(chatOf(ann), room, 20);
  await expect.poll(() => received).toBeGreaterThan(5);
  await server.stop();
  await server.start();
  await sending;
  await new Promise<void>((resolve, reject) => {
    commitMutation(environment, {
      mutation: load('RoomSendMutation'),
      variables: { input: { chatroomId: room, body: 'mine' }, connections },
      onCompleted: () => {
        resolve();
      },
      onError: reject,
    });
  });
  await expect.poll(() => received).toBeGreaterThanOrEqual(21);
  expect(received).toBe(21);
  expect(list().numbers.toSorted((a: number, b: number) => a - b)).toEqual(upTo(46));
});

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}
