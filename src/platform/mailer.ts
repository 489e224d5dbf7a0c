import { createTransport } from 'nodemailer';
import type { Logger } from 'pino';

declare module '../core/context.ts' {
  interface ServerNode {
    /** Null on a node that can neither send nor print mails. */
    mailer: Mailer | null;
  }
}

export interface Mail {
  to: string;
  subject: string;
  text: string;
}

/** Sends mails, or prints them to the log if no mail server is configured. */
export interface Mailer {
  /**
   * Sends one mail.
   *
   * @throws Error if the mail could not be sent; the caller must retry later
   */
  send(mail: Mail): Promise<void>;
  close(): void;
}

/**
 * Timeout of each step of sending, in milliseconds: DNS, connecting, greeting, and each response of the mail server.
 */
const TIMEOUT_MS = 10_000;

/**
 * Creates the mailer of a node.
 *
 * @param options.prints whether to print mails to the log if no mail server is configured. For development only,
 *   because a printed mail lets readers of the log take over the account.
 * @returns null if this node can neither send nor print mails
 */
export function createMailer(options: {
  smtpUrl: string | undefined;
  from: string;
  prints?: boolean;
  log: Logger;
}): Mailer | null {
  const { smtpUrl, from, prints = true, log } = options;
  if (smtpUrl === undefined) {
    if (!prints) return null;
    return {
      send(mail) {
        log.warn({ mail }, 'This mail was not sent, because no mail server is configured. Set SMTP_URL to send mails.');
        return Promise.resolve();
      },
      close: () => undefined,
    };
  }
  const transport = createTransport(
    {
      url: smtpUrl,
      dnsTimeout: TIMEOUT_MS,
      connectionTimeout: TIMEOUT_MS,
      greetingTimeout: TIMEOUT_MS,
      socketTimeout: TIMEOUT_MS,
    },
    { from },
  );
  return {
    async send(mail) {
      await transport.sendMail(mail);
    },
    close() {
      transport.close();
    },
  };
}
