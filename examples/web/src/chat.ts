import {
  FriendFieldsFragmentDoc,
  MessageFieldsFragmentDoc,
  PersonFieldsFragmentDoc,
  RoomFieldsFragmentDoc,
} from '../generated/graphql.ts';

/** Selections that this page passes to the hooks. */
export const messageSelections = {
  message: MessageFieldsFragmentDoc,
  room: RoomFieldsFragmentDoc,
  user: PersonFieldsFragmentDoc,
};
export const roomSelection = { room: RoomFieldsFragmentDoc };
export const personSelection = { user: PersonFieldsFragmentDoc };
export const friendSelection = { user: FriendFieldsFragmentDoc };
