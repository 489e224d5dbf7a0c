/** Global ids: opaque to clients, unique over all types. */
import { randomUUID } from 'node:crypto';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NUMBER = /^[1-9]\d{0,9}$/;
const MAX_INT = 2_147_483_647;

/** The types that have ids, and what a key of each looks like: parts divided by ':'. */
const keyParts = {
  User: [UUID],
  Viewer: [UUID],
  Session: [UUID],
  Chatroom: [UUID],
  ChatroomMember: [UUID, UUID],
  Message: [UUID, NUMBER],
  FriendRequest: [UUID, UUID],
  PushDevice: [UUID],
} satisfies Record<string, RegExp[]>;

export type NodeType = keyof typeof keyParts;

/** The id that clients see. */
export function encodeId(type: string, key: string): string {
  return Buffer.from(`${type}:${key}`).toString('base64url');
}

/**
 * What an id names, or null where it names nothing: an id that was not made here is that of a thing which
 * does not exist.
 */
export function decodeId(id: string): { type: NodeType; key: string } | null {
  const [, type = '', key = ''] = /^(\w+):([\w:-]+)$/.exec(Buffer.from(id, 'base64url').toString()) ?? [];
  return isNodeType(type) && isKey(type, key) && encodeId(type, key) === id ? { type, key } : null;
}

/** The key in an id of the given type, or null. */
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

/** A UUID in one piece. `randomUUID` answers some forty pieces, which take a kilobyte for as long as nobody reads them. */
export function createUuid(): string {
  return Buffer.from(randomUUID(), 'latin1').toString('latin1');
}
