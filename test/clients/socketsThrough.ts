import WebSocket from 'ws';

/** Creates a WebSocket class whose sockets connect to this port, such as that of a proxy. HTTP requests do not. */
export function socketsThrough(port: number) {
  const frames: string[] = [];
  class RedirectedSocket extends WebSocket {
    constructor(url: string, protocols?: string | string[]) {
      super(url.replace(/:\d+/, `:${port}`), protocols);
    }
    override send(...args: [any, any?, any?]): void {
      frames.push(String(args[0]));
      super.send(...args);
    }
  }
  return {
    webSocketImpl: RedirectedSocket,
    /** Returns the number of messages with this text that the sockets have sent. */
    sent: (text: string) => frames.filter((frame) => frame.includes(text)).length,
  };
}
