import { parse } from 'graphql';
import type { Fragment, Message, Room, TypedDocument, User } from '@parley/client/react';

// The fields that the hooks select in place of the default ones. With codegen, write the fragments and mutations into .graphql
// files, and import the generated documents, which have these types.

export interface Image {
  url: string;
  width: number;
  height: number;
  thumbHash: string;
}

export interface LinkPreview {
  id: string;
  url: string;
  title: string | null;
  description: string | null;
  siteName: string | null;
  image: Image | null;
}

type Person = User & { avatar: Image | null };
type MessageRow = Omit<Message, 'sender'> & { sender: Person | null; linkPreviews: LinkPreview[] };
type RoomRow = Omit<Room, 'opponent'> & {
  avatar: Image | null;
  opponent: Person | null;
  viewerMembership: { role: 'OWNER' | 'ADMIN' | 'MEMBER'; user: { id: string } } | null;
};

const MESSAGE: Fragment<MessageRow> = `fragment MessageRow on Message {
  kind body createdAt editedAt deletedAt seenByAll
  sender { id username nickname avatar { url width height thumbHash } }
  reactions { emoji count viewerHasReacted }
  attachments { id fileName mediaType byteSize state rejection url image { url width height thumbHash } durationMs }
  linkPreviews { id url title description siteName image { url width height thumbHash } }
}`;

export const ROOM: Fragment<RoomRow> = `fragment RoomRow on Chatroom {
  kind title topic memberCount avatar { url width height thumbHash }
  opponent { id username nickname avatar { url width height thumbHash } }
  viewerMembership { id role user { id } }
  lastMessage { id kind body deletedAt sender { id nickname } }
}`;

/** Options of `useRoom`. All components pass the same ones, because other options would load the room again. */
export const ROOM_OPTIONS = { pageSize: 20, message: MESSAGE, room: ROOM };

export const SET_AVATAR: TypedDocument<object, { attachment: string | null }> = parse(
  `mutation SetAvatar($attachment: ID) {
    setAvatar(input: { attachmentId: $attachment }) { user { id avatar { url width height thumbHash } } }
  }`,
);

export const SET_ROOM_AVATAR: TypedDocument<object, { room: string; attachment: string | null }> = parse(
  `mutation SetRoomAvatar($room: ID!, $attachment: ID) {
    setChatroomAvatar(input: { chatroomId: $room, attachmentId: $attachment }) {
      chatroom { id avatar { url width height thumbHash } }
    }
  }`,
);

export const REMOVE_LINK_PREVIEW: TypedDocument<object, { message: string; preview: string }> = parse(
  `mutation RemoveLinkPreview($message: ID!, $preview: ID!) {
    removeLinkPreview(input: { messageId: $message, linkPreviewId: $preview }) {
      message { id linkPreviews { id url title description siteName image { url width height thumbHash } } }
    }
  }`,
);
