import WebSocket from 'ws';

/** Creates a WebSocket class, whose sockets do not open until `release`. Requests over HTTP work meanwhile. */
export function heldSockets() {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  class HeldSocket extends WebSocket {
    override send(...args: [any, any?, any?]): void {
      if (JSON.parse(String(args[0])).type !== 'connection_init') super.send(...args);
      else
        void released.then(() => {
          super.send(...args);
        });
    }
  }
  return { webSocketImpl: HeldSocket, release };
}
