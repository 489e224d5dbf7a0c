// A client in a thread of its own: what keeps the test busy does not delay it, and is not taken for a stall of the server.
import { Agent, request } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';

const body = JSON.stringify({ query: '{ __typename }' });
let isOver = false;

/** Asks once, and returns the time that took in milliseconds. */
function ask(agent) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const options = { method: 'POST', agent, headers: { 'content-type': 'application/json' } };
    const asking = request(`${workerData.url}/graphql`, options, (response) => {
      response.resume().once('end', () => resolve(performance.now() - began));
    });
    asking.once('error', reject);
    asking.end(body);
  });
}

async function run() {
  isOver = false;
  // One connection for each measurement: the server closes one that has been idle for 5 s.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  // The first one opens the connection.
  await ask(agent);
  parentPort.postMessage('begun');
  let longestMs = 0;
  while (!isOver) longestMs = Math.max(longestMs, await ask(agent));
  // One more that begins after the end: a stall that has just begun is seen too.
  longestMs = Math.max(longestMs, await ask(agent));
  agent.destroy();
  parentPort.postMessage(longestMs);
}

parentPort.on('message', (message) => {
  if (message === 'begin') void run();
  else isOver = true;
});
