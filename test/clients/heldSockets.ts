import WebSocket from 'ws';

/**
 * Creates a WebSocket class, whose sockets do not send messages with this text until `release`. Requests over HTTP work
 * meanwhile.
 */
export function heldSockets(text: string) {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  class HeldSocket extends WebSocket {
    override send(...args: [any, any?, any?]): void {
      if (!String(args[0]).includes(text)) super.send(...args);
      else
        void released.then(() => {
          super.send(...args);
        });
    }
  }
  return { webSocketImpl: HeldSocket, release };
}
