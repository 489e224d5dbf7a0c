import { expect, onTestFinished, test, vi } from 'vitest';
import type { Person } from '../support/client.ts';
import { chatOf } from './chatOf.ts';

const CRASH = { message: 'It failed.', extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: '1' } };
const lose = () => Promise.reject(new DOMException('The connection was reset.', 'NetworkError'));
const respond = (result: object) => () => Promise.resolve(Response.json(result));
const crash = respond({ data: null, errors: [CRASH] });
const LIMIT = {
  message: 'Too many requests. Try again in 40 s.',
  extensions: { code: 'RATE_LIMITED', retryAfterMs: 40_000 },
};
const succeed = respond({ data: { server: { version: '1' } } });

/**
 * Sends a query with `retry` to a server with these outcomes. Returns its result, the number of requests, and how often
 * `onSend` was called.
 */
async function request(outcomes: (() => Promise<Response>)[]) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  let requests = 0;
  let announced = 0;
  const onSend = () => (announced += 1);
  const fetch = () => (outcomes[(requests += 1) - 1] ?? succeed)();
  const chat = chatOf({ url: 'http://127.0.0.1:9', accessToken: '' } as Person, { fetch });
  let result: Awaited<ReturnType<typeof chat.request>> | undefined;
  void chat.request('{ server { version } }', {}, { retry: true, onSend }).then((response) => (result = response));
  // Nodes that other tests have started in this process may set timers for ever, so not all timers can run.
  while (!result) await vi.advanceTimersToNextTimerAsync();
  return { result, requests, announced };
}

const times = <Value>(count: number, value: Value) => Array.from({ length: count }, () => value);

test('a crash after many lost connections is retried', async () => {
  const { result, requests, announced } = await request([...times(6, lose), crash]);
  expect(result).toEqual({ data: { server: { version: '1' } } });
  // A cache forgets at each retry what an earlier response might have been older than.
  expect(announced).toBe(requests);
});

test('an operation is retried after at most five crashes, lost connections aside', async () => {
  const { result, requests } = await request([...times(3, crash), ...times(6, lose), ...times(10, crash)]);
  expect(result.errors).toEqual([CRASH]);
  expect(requests).toBe(3 + 6 + 3);
});

test('a wait for a rate limit is written to the console once', async () => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  const limit = respond({ data: null, errors: [LIMIT] });
  const { requests } = await request([limit, limit]);
  expect(requests).toBe(3);
  const [[text], ...others] = warned.mock.calls as [[string]];
  expect(text).toBe('Parley: Too many requests. Try again in 40 s. The client repeats the operation in 40 s.');
  expect(others).toEqual([]);
});
