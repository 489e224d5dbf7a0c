import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createTurns } from '../../src/graphql/plugins/turns.ts';
import { codesOf, request } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';

describe('turns', () => {
  test('start at most one task per turn of the event loop', async () => {
    const awaitTurn = createTurns();
    let inThisTurn = 0;
    const most = await Promise.all(
      Array.from({ length: 5 }, async () => {
        await awaitTurn('ann');
        const before = (inThisTurn += 1);
        await setImmediate();
        inThisTurn = 0;
        return before;
      }),
    );
    expect(most).toEqual([1, 1, 1, 1, 1]);
  });

  test('alternate between payers', async () => {
    const awaitTurn = createTurns();
    const order: string[] = [];
    const take = (payer: string) => awaitTurn(payer).then(() => order.push(payer));
    await Promise.all([...['ann', 'ann', 'ann', 'ann'].map(take), take('ben'), take('cid'), take('ben')]);
    expect(order).toEqual(['ann', 'ann', 'ben', 'cid', 'ann', 'ben', 'ann']);
  });

  test('have a queue of 200 per payer, and refuse more', async () => {
    const awaitTurn = createTurns();
    const waiting = Array.from({ length: 201 }, () => awaitTurn('ann'));
    await expect(awaitTurn('ann')).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    await awaitTurn('ben');
    await Promise.all(waiting);
  });
});

test('a known operation does not wait for earlier new documents', async () => {
  const { url } = await startTestServer();
  const known = '{ __typename }';
  expect(codesOf(await request(url, known))).toEqual([]);
  let answered = 0;
  const documents = Array.from({ length: 40 }, async (_, i) => {
    await request(url, `{ ${`a${i} `.repeat(40)} ${Array.from({ length: 400 }, (_, j) => `x${j}`).join(' ')} }`);
    answered += 1;
  });
  await request(url, known);
  expect(answered).toBeLessThan(20);
  await Promise.all(documents);
});
