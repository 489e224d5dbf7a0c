import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** Below the range from which Linux takes ports for outgoing connections and for servers that ask for any port. */
const [LOWEST, HIGHEST] = [20_000, 32_000];

/**
 * A port of 127.0.0.1 that nobody listens on, for a program that must be told one. Until the program listens, only another
 * caller of this function can take the port, which is why the port is chosen at random.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const probe = createServer();
    const listening = once(probe, 'listening').then(
      () => true,
      () => false,
    );
    probe.listen(randomInt(LOWEST, HIGHEST), '127.0.0.1');
    if (!(await listening)) continue;
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    return port;
  }
}
