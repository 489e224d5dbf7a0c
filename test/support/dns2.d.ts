/** The parts of dns2 that the tests use. The package has no types for this version. */
declare module 'dns2' {
  interface Question {
    name: string;
    type: number;
  }
  interface Packet {
    questions: Question[];
    answers: { name: string; type: number; class: number; ttl: number; address: string }[];
  }
  interface Server {
    listen(options: { udp: { port: number; address: string } }): Promise<{ udp: { port: number } }>;
    close(): Promise<void>;
  }
  const dns2: {
    Packet: {
      TYPE: { A: number; AAAA: number };
      CLASS: { IN: number };
      createResponseFromRequest(this: void, request: Packet): Packet;
    };
    createServer(options: { udp: true; handle: (request: Packet, send: (response: Packet) => void) => void }): Server;
  };
  export default dns2;
}
