import { describe, expect, test } from 'vitest';
import { administer } from '../src/cli/admin/admin.ts';
import { parseConfig } from '../src/core/config/config.ts';
import { DEMO_PASSWORD } from '../src/server/demo/people.ts';
import { seedDemo } from '../src/cli/demo/seedDemo.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { PASSWORD, request } from './support/client.ts';
import { AUDIENCE, startWithProvider } from './support/openid.ts';
import { startTestServer } from './support/server.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { viewer { user { username } } } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { viewer { user { username } } } }`;
const SIGN_IN_WITH = `mutation ($input: SignInWithIdTokenInput!) {
  signInWithIdToken(input: $input) { viewer { user { username } } } }`;
const progress = createProgress({ isTTY: false, write: () => true });
const OFF = { SIGN_UP: 'off' };

const signIn = (url: string, usernameOrEmail: string, password: string) =>
  request(url, SIGN_IN, { input: { usernameOrEmail, password } });
const username = ({ data }: { data?: any }, field: string) => data[field].viewer.user.username;

describe('SIGN_UP=off', () => {
  test('refuses signUp in one sentence, and `server` reports it', async () => {
    const [open, closed] = [await startTestServer(), await startTestServer({ env: OFF })];
    const policy = async (url: string) => (await request(url, '{ server { signUp } }')).data.server.signUp;
    expect([await policy(open.url), await policy(closed.url)]).toEqual(['OPEN', 'OFF']);
    const { errors } = await request(closed.url, SIGN_UP, { input: { username: 'ann', password: PASSWORD } });
    expect(errors).toMatchObject([
      { message: expect.stringContaining('no new accounts'), extensions: { code: 'FORBIDDEN' } },
    ]);
    expect(await closed.node.database.prisma.user.count()).toBe(0);
  });

  test('refuses the first OpenID sign-in of an identity, not later ones', async () => {
    const open = await startWithProvider();
    const closed = await startTestServer({
      databaseUrl: open.server.databaseUrl,
      env: { OIDC_ISSUER: open.provider.issuer, OIDC_AUDIENCE: AUDIENCE, ...OFF },
    });
    const signInWith = async (url: string) =>
      request(url, SIGN_IN_WITH, { input: { idToken: await open.provider.token() } });
    expect((await signInWith(closed.url)).errors?.[0]?.extensions.code).toBe('FORBIDDEN');
    expect(await closed.node.database.prisma.user.count()).toBe(0);
    expect(username(await signInWith(open.url), 'signInWithIdToken')).toBe('ann');
    expect(username(await signInWith(closed.url), 'signInWithIdToken')).toBe('ann');
  });

  test('leaves account creation to the operator and the demo', async () => {
    const { url, databaseUrl, node } = await startTestServer({ env: OFF });
    await administer(
      ['create-user', 'dora', '--password-stdin'],
      {
        config: parseConfig({ NODE_ENV: 'test', ...OFF }),
        nodeVersion: process.versions.node,
        readInput: () => Promise.resolve(PASSWORD),
        progress,
      },
      () => Promise.resolve({ url: databaseUrl, stop: () => Promise.resolve() }),
    );
    expect(username(await signIn(url, 'dora', PASSWORD), 'signIn')).toBe('dora');
    await seedDemo({ ...node, progress });
    expect(username(await signIn(url, 'ann', DEMO_PASSWORD), 'signIn')).toBe('ann');
  });
});
