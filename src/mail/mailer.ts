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

/** @param options.prints whether a mail that cannot be sent is printed: what is in it opens the account to whoever reads it */
export function createMailer(options: {
  smtpUrl: string | undefined;
  from: string;
  prints?: boolean;
  log: Logger;
}): Mailer {
  const { smtpUrl, from, prints = true, log } = options;
  if (smtpUrl === undefined) {
    return {
      send(mail) {
        log.warn(prints ? { mail } : {}, 'No mail server is configured (SMTP_URL): this mail was not sent.');
        return Promise.resolve();
      },
      close: () => undefined,
    };
  }
  const transport = createTransport(smtpUrl, { from });
  return {
    async send(mail) {
      await transport.sendMail(mail);
    },
    close() {
      transport.close();
    },
  };
}
