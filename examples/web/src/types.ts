import type { OutboxEntry } from '@parley/client';
import type { RoomResult } from '@parley/client/react';
import type {
  AttachmentFieldsFragment,
  FriendFieldsFragment,
  MessageFieldsFragment,
  PersonFieldsFragment,
  RoomFieldsFragment,
  ViewerQuery,
} from '../generated/graphql.ts';

/** Types of the page's data, as its fragments select them. */
export type Person = PersonFieldsFragment;
export type Friend = FriendFieldsFragment;
export type Message = MessageFieldsFragment;
export type Attachment = AttachmentFieldsFragment;
export type Room = RoomFieldsFragment;
export type Viewer = NonNullable<ViewerQuery['viewer']>;
export type Pending = OutboxEntry;
export type OpenRoom = RoomResult<Message, Room, Person>;
