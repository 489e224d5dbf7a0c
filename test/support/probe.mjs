// A client in a separate thread, so that a busy test does not delay it and does not count as a stall of the server.
import { Agent, request } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';
import { waitedForCore } from './runQueue.mjs';

const body = JSON.stringify({ query: '{ __typename }' });
let isOver = false;

/** Returns how long this thread and the server's main thread have waited for a core, in milliseconds. */
const waited = () => waitedForCore('thread-self') + waitedForCore(`${workerData.pid}/task/${workerData.pid}`);

/**
 * Sends one query. Returns its duration in milliseconds, without the time for which client or server waited for a core.
 * Sends it again if the server has closed the idle connection meanwhile.
 */
function ask(agent, began = performance.now() - waited()) {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', agent, headers: { 'content-type': 'application/json' } };
    const asking = request(`${workerData.url}/graphql`, options, (response) => {
      response.resume().once('end', () => resolve(performance.now() - waited() - began));
    });
    asking.once('error', (error) => {
      if (asking.reusedSocket && error.code === 'ECONNRESET') resolve(ask(agent, began));
      else reject(error);
    });
    asking.end(body);
  });
}

async function run() {
  isOver = false;
  // Each measurement opens a new connection, because the server closes a connection after 5 s without a request.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  // The first request opens the connection and is not measured.
  await ask(agent);
  parentPort.postMessage('begun');
  let longestMs = 0;
  while (!isOver) longestMs = Math.max(longestMs, await ask(agent));
  // Another request starts after the end, to measure a stall that has just begun.
  longestMs = Math.max(longestMs, await ask(agent));
  agent.destroy();
  parentPort.postMessage(longestMs);
}

parentPort.on('message', (message) => {
  if (message === 'begin') void run();
  else isOver = true;
});
