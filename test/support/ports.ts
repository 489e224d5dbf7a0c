import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** Range below the ports that Linux assigns to outgoing connections and to servers without a fixed port. */
const [LOWEST, HIGHEST] = [20_000, 32_000];

/**
 * Returns a port of 127.0.0.1 without a listener, for a program that needs one in its settings. Until the program
 * listens, only another caller of this function can take the port, which is why the port is random.
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
