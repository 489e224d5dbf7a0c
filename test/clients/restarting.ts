import { createTestDatabase, startTestServer, type TestServer } from '../support/server.ts';
import { freePort } from '../support/ports.ts';

/** A server that restarts at the same address, with the same database. */
export interface RestartingServer {
  url: string;
  stop: () => Promise<void>;
  start: () => Promise<void>;
}

/** Starts a server, which is stopped at the end of the test. */
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
