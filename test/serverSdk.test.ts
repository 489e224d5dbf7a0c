import { expect, test } from 'vitest';
import { Parley, verifyWebhook } from '../server-sdk/index.ts';
import { createChatClient } from '../client/index.ts';

test('a client of a backend refuses a missing URL or token at once', () => {
  const url = 'https://chat.example.org/graphql';
  const missing = undefined as unknown as string;
  expect(() => new Parley({ url: missing, token: 'x' })).toThrow('Set the URL of the API');
  expect(() => new Parley({ url, token: missing })).toThrow('Create a service token');
  expect(() => createChatClient({ url: missing, getAccessToken: () => null })).toThrow('Set the URL of the API');
});

test('verifyWebhook says what it needs instead of a parsed body or a missing secret', () => {
  const parsed = {} as unknown as string;
  expect(() => verifyWebhook(parsed, {}, 'whsec_eA==')).toThrow('express.raw');
  expect(() => verifyWebhook('{}', {}, undefined as unknown as string)).toThrow('The secret is missing');
});
