import { createTestDatabase, startTestServer, type TestServer } from '../support/server.ts';
import { freePort } from '../support/ports.ts';

/** A server that comes back at the same address, on the same database. */
export interface RestartingServer {
  url: string;
  stop: () => Promise<void>;
  start: () => Promise<void>;
}

/** Starts one. It ends with the test. */
export async function startRestarting(env: Record<string, string> = {}): Promise<RestartingServer> {
  const databaseUrl = await createTestDatabase();
  const port = await freePort();
  let server: TestServer | undefined;
  async function start(): Promise<void> {
    server = await startTestServer({ databaseUrl, env: { ...env, PORT: String(port) } });
  }
  await start();
  return { url: `http://127.0.0.1:${port}`, start, stop: async () => server?.stop() };
}
