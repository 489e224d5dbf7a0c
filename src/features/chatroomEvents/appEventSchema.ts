import { builder } from '../../graphql/builder.ts';
import type { ChatroomEvent } from './eventPage.ts';

/** GraphQL type of each kind of event of a chatroom. */
export const typeNames: Record<ChatroomEvent['kind'], string> = {
  MESSAGE_ADDED: 'MessageAdded',
  MESSAGE_EDITED: 'MessageEdited',
  MESSAGE_DELETED: 'MessageDeleted',
  REACTIONS_CHANGED: 'ReactionsChanged',
  ATTACHMENTS_CHANGED: 'AttachmentsChanged',
  MEMBER_JOINED: 'MemberJoined',
  MEMBER_UPDATED: 'MemberUpdated',
  MEMBER_LEFT: 'MemberLeft',
  CHATROOM_UPDATED: 'ChatroomUpdated',
  LINK_PREVIEWS_CHANGED: 'LinkPreviewsChanged',
  CAUGHT_UP: 'CaughtUp',
  SNAPSHOT: 'RoomSnapshot',
};

/** Implemented by the events of all features. The kind of an event of the viewer is the name of its type. */
export const AppEvent = builder.interfaceRef<{ kind: string; cursor: string }>('AppEvent').implement({
  description:
    'An event of a chatroom of the viewer, or an event that concerns the viewer. Clients must ignore event types that they do not know, because later versions may add some.',
  resolveType: ({ kind }) => (typeNames as Record<string, string>)[kind] ?? kind,
  fields: (t) => ({
    cursor: t.exposeString('cursor', {
      description: 'Position of the event in its stream. Pass it as `after` to resume after the event.',
    }),
  }),
});
