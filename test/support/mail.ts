import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { onTestFinished } from 'vitest';

export interface Mail {
  from: string;
  to: string[];
  subject: string;
  text: string;
  token: string;
}

export interface MailServer {
  smtpUrl: string;
  /** All mails so far. */
  received: Mail[];
  /** Resolves with the first mail that was not taken yet. */
  next(): Promise<Mail>;
}

/**
 * Starts a mail server for the current test.
 *
 * @param refuse returns the error with which to refuse a mail, or null to accept the mail
 */
export async function startMailServer(refuse: (mail: Mail) => Error | null = () => null): Promise<MailServer> {
  const received: Mail[] = [];
  let taken = 0;
  let wake: () => void = () => undefined;
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    authOptional: true,
    disableReverseLookup: true,
    onData(stream, { envelope }, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const mail = {
          from: envelope.mailFrom ? envelope.mailFrom.address : '',
          to: envelope.rcptTo.map(({ address }) => address),
          ...read(Buffer.concat(chunks).toString()),
        };
        const refusal = refuse(mail);
        if (!refusal) received.push(mail);
        callback(refusal);
        wake();
      });
    },
  });
  // A client that disconnects during a response does not fail the test.
  server.on('error', () => undefined);
  onTestFinished(() => new Promise<void>((resolve) => server.close(resolve)));
  const listening = server.listen(0, '127.0.0.1');
  if (!listening.listening) await once(listening, 'listening');
  const { port } = listening.address() as AddressInfo;
  return {
    smtpUrl: `smtp://127.0.0.1:${port}`,
    received,
    async next() {
      while (received.length <= taken) await new Promise<void>((resolve) => (wake = resolve));
      return received[taken++] as Mail;
    },
  };
}

/** Parses a plain-text mail. Its lines may be folded as quoted-printable. */
function read(raw: string): Pick<Mail, 'subject' | 'text' | 'token'> {
  const [head = '', ...body] = raw.replace(/\r\n/g, '\n').split('\n\n');
  const quoted = /^content-transfer-encoding: quoted-printable$/im.test(head);
  const text = quoted
    ? body
        .join('\n\n')
        .replace(/=\n/g, '')
        .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    : body.join('\n\n');
  return {
    subject: /^subject: (.*)$/im.exec(head)?.[1] ?? '',
    text,
    token: /enter this code: (\S+)/.exec(text)?.[1] ?? '',
  };
}
