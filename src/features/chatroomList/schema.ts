import { builder, connectionArgs } from '../../graphql/builder.ts';
import { ChatroomConnection, ChatroomKind } from '../chatrooms/schema.ts';
import { Viewer } from '../users/schema.ts';
import { listChatrooms } from './chatroomList.ts';

const ChatroomFilter = builder.inputType('ChatroomFilter', {
  description: 'Filter for a list of chatrooms. A chatroom must match every condition that is set.',
  fields: (t) => ({
    kind: t.field({ type: ChatroomKind, description: 'Returns only chatrooms of this kind.' }),
    unread: t.boolean({
      description:
        'If true, returns only chatrooms with unread messages. If false, returns only chatrooms without unread messages.',
    }),
    name: t.string({
      description:
        'Returns only chatrooms whose name contains this text. A chatroom without a name matches if the nickname or username of another member contains the text. Ignores letter case and the width of full-width characters. At most 100 characters.',
    }),
  }),
});

builder.objectField(Viewer, 'chatrooms', (t) =>
  t.field({
    type: ChatroomConnection,
    description:
      'Chatrooms of the viewer, most recently active first. Leaves out hidden DIRECT chatrooms. A cursor stays valid if the filter changes. Fails with `BAD_USER_INPUT` if `filter.name` is too long.',
    args: {
      filter: t.arg({ type: ChatroomFilter, description: 'Filter for the chatrooms. By default, all are returned.' }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { filter, ...args }, context) => listChatrooms(context, args, filter ?? {}),
  }),
);
