import { builder, connectionArgs } from '../../graphql/builder.ts';
import { isJoined } from '../chatrooms/chatrooms.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { SEARCH_COST } from '../../platform/rateLimits/rateLimits.ts';
import { MessageConnection } from '../messages/schema.ts';
import { Viewer } from '../users/schema.ts';
import { searchMessages } from './search.ts';

const query =
  'Words to search for: at most 8 words and 100 characters. A message matches if it contains all words. A word of two or more letters also matches longer words that begin with the same letters. Letter case, accents and the width of full-width characters are ignored. An emoji counts as a word, and its skin tone is ignored. Fails with `BAD_USER_INPUT` if the query has no word or exceeds these limits, or if the search takes longer than 2 s.';

builder.objectField(Chatroom, 'searchMessages', (t) =>
  t.field({
    type: MessageConnection,
    nullable: true,
    description:
      'Messages of this chatroom that match a search, newest first. The cursors can only be used to page this list. Null unless the viewer is a member.',
    args: { query: t.arg.string({ required: true, description: query }), ...connectionArgs(t.arg) },
    resolve: async (chatroom, { query: words, ...args }, context) =>
      (await isJoined(context, chatroom)) ? searchCharged(context, words, args, chatroom.id) : null,
  }),
);

builder.objectField(Viewer, 'searchMessages', (t) =>
  t.field({
    type: MessageConnection,
    description:
      'Messages of all chatrooms of the viewer that match a search, newest first. The cursors can only be used to page this list.',
    args: { query: t.arg.string({ required: true, description: query }), ...connectionArgs(t.arg) },
    resolve: (_, { query: words, ...args }, context) => searchCharged(context, words, args),
  }),
);

/**
 * Charges the viewer's rate limit, then searches. Charged per field, because one operation may contain many searches.
 */
async function searchCharged(...args: Parameters<typeof searchMessages>): ReturnType<typeof searchMessages> {
  const [context] = args;
  await context.rateLimits.charge(context, SEARCH_COST);
  return searchMessages(...args);
}
