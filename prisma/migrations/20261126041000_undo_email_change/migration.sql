-- Undoes a change of the e-mail address: mailed to the former verified address, which is restored by it.
ALTER TYPE "MailPurpose" ADD VALUE 'UNDO_EMAIL_CHANGE';
-- The address that the token was sent to, in its own spelling. Only tokens that restore it have one.
ALTER TABLE mail_tokens ADD COLUMN email text;
