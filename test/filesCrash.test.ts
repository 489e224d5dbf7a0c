import { expect, onTestFinished, test } from 'vitest';
import { cleanFiles, findMissing, findOrphans } from '../src/features/attachments/cleanUp.ts';
import { resumeProcessing } from '../src/features/attachments/processing.ts';
import { openDatabase, sql } from '../src/platform/database/database.ts';
import { createDiskStore } from '../src/platform/files/diskStore.ts';
import { type Person, signUp } from './support/client.ts';
import { complete, createUpload, PNG, put, SEND_FILES, type TestFile, textFile } from './support/files.ts';
import { freePort } from './support/ports.ts';
import { type ServerProcess, startProgram } from './support/process.ts';
import { DELETE_MESSAGE } from './support/rooms.ts';
import { createTestDatabase, dataDirOf } from './support/server.ts';
import { CREATE_CHATROOM } from './support/world.ts';

const CLIENTS = 8;
const UPLOADS = 200;
/** The node is killed each time that clients have completed this number of steps. */
const STEPS_PER_KILL = 140;

test('the store equals the database after 200 uploads through kills of the node', { timeout: 300_000 }, async () => {
  const databaseUrl = await createTestDatabase();
  const dataDir = dataDirOf(databaseUrl);
  const env = {
    ...{ DATABASE_URL: databaseUrl, DATA_DIR: dataDir, PORT: String(await freePort()), NODE_ENV: 'test' },
    ...{ RATE_LIMITS: 'off', LOG_LEVEL: 'silent', AUTH_SECRET: 'x'.repeat(32) },
  };
  let server: Promise<ServerProcess> = startProgram(env);
  let steps = 0;
  let kills = 0;

  /** Runs a step until it succeeds. A step that was interrupted is repeated on the next process. */
  async function until<Result>(step: () => Promise<Result>): Promise<Result> {
    for (;;) {
      const current = server;
      await current;
      try {
        const result = await step();
        steps += 1;
        if (steps % STEPS_PER_KILL === 0) {
          kills += 1;
          server = current.then(async (running) => {
            await running.end('SIGKILL');
            return startProgram(env);
          });
        }
        return result;
      } catch (error) {
        // The connection broke, because the process was killed.
        if (!(error instanceof TypeError)) throw error;
      }
    }
  }

  const { url } = await server;
  const ann: Person = await signUp(url, 'ann');
  const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: 'Room', memberIds: [] } });
  const room = createChatroom.chatroom.id as string;

  async function share(number: number): Promise<void> {
    // Pictures are also processed.
    const file: TestFile =
      number % 3 === 0 ? { ...PNG, fileName: `${number}.png` } : textFile(`file ${number}`, `${number}.txt`);
    const upload = await until(() => createUpload(ann, file));
    await until(async () => {
      const { status } = await put(ann, upload, file.bytes);
      expect(status).toBe(200);
    });
    const { id } = await until(() => complete(ann, upload));
    // Every fourth upload is forgotten.
    if (number % 4 === 0) return;
    const input = { chatroomId: room, body: '', attachmentIds: [id], clientMessageId: `${number}` };
    const { sendMessage } = await until(() => ann.ask(SEND_FILES, { input }));
    if (number % 4 === 1) await until(() => ann.ask(DELETE_MESSAGE, { id: sendMessage.message.id }));
  }

  let next = 0;
  const work = async () => {
    while (next < UPLOADS) await share(next++);
  };
  await Promise.all(Array.from({ length: CLIENTS }, work));
  expect(kills).toBeGreaterThanOrEqual(4);

  await server;
  const database = await openDatabase(databaseUrl, { poolSize: 2 });
  onTestFinished(() => database.close());
  const node = { database, files: createDiskStore(`${dataDir}/files`) };
  // Killed nodes have left locked jobs. The age of a lock is that of a node that was killed long ago.
  await database.query(sql`
    UPDATE graphile_worker._private_jobs SET locked_at = now() - interval '1 hour' WHERE locked_at IS NOT NULL`);
  await resumeProcessing(database);
  const states = async () =>
    (
      await database.query<{ state: string }>(sql`SELECT DISTINCT state FROM attachments WHERE chatroom_id IS NOT NULL`)
    ).map(({ state }) => state);
  await expect.poll(states).toEqual(['READY']);
  // Half of the uploads have just been deleted, so that the store has more objects than the database names.
  await cleanFiles(node, 0, { force: true });
  const left = async () => {
    const orphans: string[] = [];
    for await (const { key } of findOrphans(node)) orphans.push(key);
    return [...orphans, ...(await findMissing(node))];
  };
  await expect.poll(left).toEqual([]);
  const [{ count } = { count: 0 }] = await database.query<{ count: number }>(
    sql`SELECT count(*)::int AS count FROM attachments WHERE state = 'READY' AND chatroom_id IS NOT NULL`,
  );
  expect(count).toBe(UPLOADS / 2);
});
