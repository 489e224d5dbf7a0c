import { createTransport } from 'nodemailer';
import type { Logger } from 'pino';

export interface Mail {
  to: string;
  subject: string;
  text: string;
}

/** Sends mails, or prints them to the log where no server is configured. */
export interface Mailer {
  /** @throws Error what the mail server said: the mail is to be sent again later */
  send(mail: Mail): Promise<void>;
  close(): void;
}

/** How long each step of talking to the mail server may take: finding it, connecting, its greeting, and each answer. */
const TIMEOUT_MS = 10_000;

/**
 * Opens the way for mails.
 *
 * @param options.prints whether mails are printed to the log without a mail server. A mail opens an account to whoever reads it.
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
        log.warn({ mail }, 'No mail server is configured (SMTP_URL): this mail was not sent.');
        return Promise.resolve();
      },
      close: () => undefined,
    };
  }
  const transport = createTransport(
    {
      url: smtpUrl,
      ...{ dnsTimeout: TIMEOUT_MS, connectionTimeout: TIMEOUT_MS },
      ...{ greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS },
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
