import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';
import { version } from '../core/version.ts';
import type { RoomEvent } from './roomLog.ts';

/** Encrypts events for the bus, because other programs may share the Redis. */
export interface EventSeal {
  /** Encrypts events. Returns undefined if they are larger than {@link MAX_BYTES}; receivers then read the log. */
  seal(events: readonly RoomEvent[]): string | undefined;
  /**
   * Decrypts events. Returns an empty list for anything that no node of this release and database has sealed with the
   * same secret.
   */
  open(sealed: unknown): readonly RoomEvent[];
}

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Maximum size of serialized events. Larger payloads would slow down the bus more than they spare the database. */
const MAX_BYTES = 8 * 1024;

/**
 * Creates the seal of one node. The key is derived from AUTH_SECRET, the release and the database. Events of another
 * release may have other fields. Nodes of another database, such as one restored from a backup, may share the Redis and
 * have the same rooms with other events. NIST SP 800-38D allows 2³² seals per key: 50 days of 1,000 messages a second.
 */
export function createEventSeal(secret: string, databaseId: string): EventSeal {
  const key = Buffer.from(hkdfSync('sha256', secret, version, `parley events ${databaseId}`, 32));
  return {
    seal(events) {
      const plain = serialize(events);
      if (plain.length > MAX_BYTES) return undefined;
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv(ALGORITHM, key, iv);
      const encrypted = [cipher.update(plain), cipher.final()];
      return Buffer.concat([iv, cipher.getAuthTag(), ...encrypted]).toString('base64');
    },
    open(sealed) {
      if (typeof sealed !== 'string') return [];
      const bytes = Buffer.from(sealed, 'base64');
      const [iv, tag] = [bytes.subarray(0, IV_BYTES), bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)];
      try {
        const decipher = createDecipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES });
        decipher.setAuthTag(tag);
        const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
        return deserialize(plain) as RoomEvent[];
      } catch {
        return [];
      }
    },
  };
}
