import {
  FriendFieldsFragmentDoc,
  MessageFieldsFragmentDoc,
  PersonFieldsFragmentDoc,
  RoomFieldsFragmentDoc,
} from '../generated/graphql.ts';

/** What the hooks select for this page. */
export const messageSelections = {
  message: MessageFieldsFragmentDoc,
  room: RoomFieldsFragmentDoc,
  user: PersonFieldsFragmentDoc,
};
export const roomSelection = { room: RoomFieldsFragmentDoc };
export const personSelection = { user: PersonFieldsFragmentDoc };
export const friendSelection = { user: FriendFieldsFragmentDoc };
