import { createHash, randomUUID } from 'node:crypto';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NUMBER = /^[1-9]\d{0,9}$/;
const MAX_INT = 2_147_483_647;

/** Types with global ids. Each has one pattern for each part of its keys. A ':' separates the parts. */
const keyParts = {
  User: [UUID],
  Viewer: [UUID],
  Session: [UUID],
  Chatroom: [UUID],
  ChatroomMember: [UUID, UUID],
  Message: [UUID, NUMBER],
  FriendRequest: [UUID, UUID],
  PushDevice: [UUID],
  LinkPreview: [UUID],
  IncomingWebhook: [UUID],
  Upload: [UUID],
  Attachment: [UUID],
  Webhook: [UUID],
} satisfies Record<string, RegExp[]>;

export type NodeType = keyof typeof keyParts;

/** Returns the global id of an object. Global ids are opaque to clients, and unique across all types. */
export function encodeId(type: string, key: string): string {
  return Buffer.from(`${type}:${key}`).toString('base64url');
}

/**
 * Returns the type and key of a global id, or null if the id is malformed. Callers treat a malformed id like an object
 * that does not exist.
 */
export function decodeId(id: string): { type: NodeType; key: string } | null {
  const [, type = '', key = ''] = /^(\w+):([\w:-]+)$/.exec(Buffer.from(id, 'base64url').toString()) ?? [];
  return isNodeType(type) && isKey(type, key) && encodeId(type, key) === id ? { type, key } : null;
}

/** Returns the key in an id of the given type. Returns null for an id of another type and for a malformed id. */
export function keyOf(type: NodeType, id: string): string | null {
  const decoded = decodeId(id);
  return decoded?.type === type ? decoded.key : null;
}

function isNodeType(type: string): type is NodeType {
  return Object.hasOwn(keyParts, type);
}

function isKey(type: NodeType, key: string): boolean {
  const parts = key.split(':');
  const patterns: RegExp[] = keyParts[type];
  return (
    parts.length === patterns.length &&
    patterns.every((pattern, i) => {
      const part = parts[i] ?? '';
      return pattern.test(part) && (pattern !== NUMBER || Number(part) <= MAX_INT);
    })
  );
}

/**
 * Returns a random UUID. `randomUUID` returns a concatenation of some forty strings, which occupies a kilobyte until it
 * is first read. The conversion through a buffer makes one compact string.
 */
export function createUuid(): string {
  return Buffer.from(randomUUID(), 'latin1').toString('latin1');
}

/**
 * Returns a UUID of version 8, derived from `source` and `name` with SHA-256. The same arguments always give the same
 * id.
 */
export function derivedId(source: string, name: string): string {
  const hex = createHash('sha256').update(`${source}\0${name}`).digest('hex');
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
