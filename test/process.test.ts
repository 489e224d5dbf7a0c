import { describe, expect, test } from 'vitest';
import { PASSWORD, type Person, request, signUp } from './support/client.ts';
import { createDataDir, runCommand, startProcess, startProgram } from './support/process.ts';
import { MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

describe('the program, on a machine with nothing else', { timeout: 120_000 }, () => {
  test('starts, prints its address, and lets the demo user chat', async () => {
    const server = await startProcess(await createDataDir());
    expect(server.output()).toMatch(/GraphiQL +http:.*\/graphql[\s\S]*PostgreSQL +18.*embedded[\s\S]*Bus +in memory/);
    const [, token] = /\n {2}(ey\S+)\n/.exec(server.output()) ?? [];
    const { data } = await request(
      server.url,
      '{ viewer { user { username } chatrooms { nodes { name opponent { username } } } } }',
      {},
      { authorization: `Bearer ${token}` },
    );
    expect(data.viewer.user.username).toBe('ann');
    expect(data.viewer.chatrooms.nodes).toContainEqual({ name: 'The garden', opponent: null });
    expect(data.viewer.chatrooms.nodes).toContainEqual({ name: null, opponent: { username: 'ben' } });

    const page = await (await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } })).text();
    expect(page).toContain('GraphiQL');
    expect(page.match(/<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?\/\/[^"]+"/g)).toBeNull();
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test('adds no demo users with SIGN_UP=off', async () => {
    const server = await startProgram({ DATA_DIR: await createDataDir(), SIGN_UP: 'off' });
    expect(server.output()).not.toContain('Demo');
    const { errors } = await request(
      server.url,
      'mutation { signIn(input: { usernameOrEmail: "ann", password: "parley-demo" }) { accessToken } }',
    );
    expect(errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
    await server.end('SIGTERM');
  });

  test('keeps acknowledged messages once after kill -9, and resumes', async () => {
    const dataDir = await createDataDir();
    const first = await startProcess(dataDir);
    const { ann, ben, room } = await world(first, '.of.the.test');
    const { cursor } = await send(ann, room, 'before');
    const acknowledged: string[] = [];
    let unknown: string | undefined;
    const sending = (async () => {
      for (let i = 0; ; i += 1) {
        const id = `message ${i}`;
        unknown = id;
        await ann.ask(SEND, { input: { chatroomId: room, body: id, clientMessageId: id } });
        acknowledged.push(id);
      }
    })().catch(() => undefined);
    await expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(50);
    await first.end('SIGKILL');
    await sending;

    const second = await startProcess(dataDir);
    // The tokens are still valid because the secret was kept.
    const again = ann.at(second.url);
    // The last message may or may not have been stored. A retry with its clientMessageId stores it once.
    if (unknown) await again.ask(SEND, { input: { chatroomId: room, body: unknown, clientMessageId: unknown } });
    const stream = ben.at(second.url).connect().subscribe(MESSAGE_ADDED, { room, after: cursor });
    const expected = [...new Set([...acknowledged, ...(unknown ? [unknown] : [])])];
    const events = await stream.take(expected.length);
    expect(events.map((event) => event.message.body)).toEqual(expected);
    expect(events.map((event) => event.message.number)).toEqual(expected.map((_, i) => i + 2));
    await second.end('SIGTERM');
  });

  test('refuses a second instance on one folder; commands still run', async () => {
    const dataDir = await createDataDir();
    const server = await startProcess(dataDir);
    const second = await runCommand(dataDir);
    expect(second.code).toBe(1);
    expect(second.output).toMatch(/Another Parley is running on .*DATA_DIR/);
    const seeded = await runCommand(dataDir, 'seed');
    expect(seeded).toMatchObject({ code: 0 });
    expect(seeded.output).toContain('Added 0 users, 0 chatrooms and 0 messages.');
    const ann: Person = await signUp(server.url, 'newcomer');
    expect((await ann.ask('{ viewer { user { username } } }')).viewer.user.username).toBe('newcomer');
    expect(
      (
        await request(
          server.url,
          'mutation ($p: String!) { signIn(input: { usernameOrEmail: "newcomer", password: $p }) { accessToken } }',
          { p: PASSWORD },
        )
      ).errors,
    ).toBeUndefined();
    expect(await server.end('SIGINT')).toBe(0);
  });

  test('refuses unknown commands and invalid settings in one sentence', async () => {
    const nonsense = await runCommand('/nonexistent', 'nonsense');
    expect(nonsense).toEqual({
      code: 1,
      output: 'There is no command "nonsense". Use one of: start, seed, import, export, migrate, admin.\n',
    });
    const dataDir = await createDataDir();
    const nowhere = await runCommand(dataDir, 'import', '/nonexistent');
    expect(nowhere.code).toBe(1);
    expect(nowhere.output).toContain('There is nothing at /nonexistent.');
  });
});
