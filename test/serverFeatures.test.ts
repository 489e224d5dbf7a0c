import { expect, test } from 'vitest';
import { request } from './support/client.ts';
import { fieldsOf } from './support/operations.ts';
import { startFcm } from './support/providers.ts';
import { startTestServer } from './support/server.ts';

const FEATURES = '{ server { features } }';

test('Server.features names what the configuration enables, and describes each name', async () => {
  const plain = await startTestServer({ env: { LINK_PREVIEWS: 'off' } });
  expect((await request(plain.url, FEATURES)).data.server.features).toEqual([
    'resume',
    'snapshot',
    'events',
    'cookies',
    'attachments',
    'services',
    'bots',
    'incoming-webhooks',
    'webhooks',
  ]);
  const pushing = await startTestServer({ env: (await startFcm()).env });
  const { features } = (await request(pushing.url, FEATURES)).data.server;
  expect(features).toEqual([
    ...[
      'resume',
      'snapshot',
      'events',
      'cookies',
      'attachments',
      'services',
      'fcm',
      'bots',
      'incoming-webhooks',
      'link-previews',
      'webhooks',
    ],
  ]);
  const { description } = fieldsOf('Server').find(({ name }) => name === 'features') ?? {};
  for (const name of features) expect(description).toContain(`\`${name}\` (`);
});
