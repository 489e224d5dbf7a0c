import type { UploadedFile } from '../uploads.ts';

/** Types of the default fragments in documents.ts. The hooks select these fragments if the application passes none. */

export interface User {
  id: string;
  username: string;
  nickname: string;
}

export interface Message {
  kind: 'USER' | 'SYSTEM';
  body: string | null;
  createdAt: string;
  editedAt: string | null;
  deletedAt: string | null;
  seenByAll: boolean;
  sender: User | null;
  reactions: { emoji: string; count: number; viewerHasReacted: boolean }[];
  attachments: Attachment[];
}

export type Attachment = Omit<UploadedFile, 'sha256'>;

export interface Room {
  kind: 'DIRECT' | 'GROUP' | 'OPEN';
  /** Name of the room, or nicknames of other members. Null if there are neither. */
  title: string | null;
  topic: string | null;
  memberCount: number;
  opponent: User | null;
  lastMessage: {
    id: string;
    kind: 'USER' | 'SYSTEM';
    body: string | null;
    deletedAt: string | null;
    sender: { id: string; nickname: string } | null;
  } | null;
}
