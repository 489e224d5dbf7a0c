// A worker that does what its task says, to test the pool.
import { threadId, parentPort } from 'node:worker_threads';

parentPort.on('message', (task) => {
  if (task === 'loop') for (;;);
  if (task === 'fill') for (const list = []; ;) list.push(Array(1_000).fill(task.length));
  if (task === 'exit') process.exit(1);
  if (task === 'throw') throw new Error('The worker is broken.');
  if (task === 'fail') parentPort.postMessage({ error: 'The task failed.' });
  else parentPort.postMessage({ result: threadId });
});
