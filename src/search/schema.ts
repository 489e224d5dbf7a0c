import { builder, connectionArgs } from '../builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { SEARCHING } from '../limits/rates.ts';
import { MessageConnection } from '../messages/schema.ts';
import { Viewer } from '../users/schema.ts';
import { searchMessages } from './search.ts';

const query =
  'At most 8 words, or how they begin, from two letters on; case, accents and width do not matter. Emoji are words, whatever their skin tone. Finds messages that have all of them. A search that takes longer than 2 s is `BAD_USER_INPUT`.';

builder.objectField(Chatroom, 'searchMessages', (t) =>
  t.field({
    type: MessageConnection,
    nullable: true,
    description:
      'Messages of this room by their words, newest first. Its cursors only page. Null unless the viewer is a member.',
    args: { query: t.arg.string({ required: true, description: query }), ...connectionArgs(t.arg) },
    resolve: (chatroom, { query: words, ...args }, context) =>
      chatroom.viewerRole === null ? null : searchCharged(context, words, args, chatroom.id),
  }),
);

builder.objectField(Viewer, 'searchMessages', (t) =>
  t.field({
    type: MessageConnection,
    description: 'Messages of all the viewer’s rooms by their words, newest first. Its cursors only page.',
    args: { query: t.arg.string({ required: true, description: query }), ...connectionArgs(t.arg) },
    resolve: (_, { query: words, ...args }, context) => searchCharged(context, words, args),
  }),
);

/** Charges each search of an operation, then searches. */
async function searchCharged(...args: Parameters<typeof searchMessages>): ReturnType<typeof searchMessages> {
  const [context] = args;
  await context.rates.charge(context, SEARCHING);
  return searchMessages(...args);
}
