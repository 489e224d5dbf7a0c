// node examples/store/sync.mjs TOKEN FILE: keeps a file with the viewer's friends, rooms and messages up to date. Stop it, let
// others write, and start it again: it continues from the cursor in the file.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createChatClient } from '@parley/client';
import WebSocket from 'ws';
import { apply, emptyStore, EVENTS } from './store.mjs';

const [token, file] = process.argv.slice(2);
const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const client = createChatClient({ url, getAccessToken: () => token, webSocketImpl: WebSocket });
const store = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : emptyStore();
for await (const { events } of client.subscribe(EVENTS, { after: store.cursor })) {
  apply(store, events);
  // The data and its cursor are saved together.
  writeFileSync(`${file}.new`, JSON.stringify(store));
  renameSync(`${file}.new`, file);
}
