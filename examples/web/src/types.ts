import type {
  FriendFieldsFragment,
  MessageFieldsFragment,
  PersonFieldsFragment,
  RoomFieldsFragment,
} from '../generated/graphql.ts';

/** What the page knows of each thing, as its fragments ask for it. */
export type Person = PersonFieldsFragment;
export type Friend = FriendFieldsFragment;
export type Message = MessageFieldsFragment;
export type Room = RoomFieldsFragment;
