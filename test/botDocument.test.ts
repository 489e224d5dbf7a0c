import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';

test('the commands of docs/bots.md print what the document says', async () => {
  const text = await readFile('docs/bots.md', 'utf8');
  const blocks = [...text.matchAll(/```(sh)?\n([^]*?)```/g)].map(([, language, code = '']) => ({ language, code }));
  const commands = blocks.filter(({ language }) => language === 'sh').map(({ code }) => code);
  const printed = blocks.filter(({ language, code }) => language === undefined && code.startsWith('{'));
  const server = await startTestServer();
  const ann = await signUp(server.url, 'ann');
  // The node announces its configured port, and listens on a free one.
  const { host } = new URL(server.url);
  const script = commands
    .join('\n')
    .replaceAll('localhost:4000', host)
    .replaceAll('"$url"', `"\${url/localhost:0/${host}}"`);
  const { stdout } = await promisify(execFile)('bash', ['-euc', script], {
    env: { ...process.env, ann: ann.accessToken },
  });
  expect(stdout).toBe(printed.map(({ code }) => code).join(''));
});
