import type { Cache, Resolver, UpdateResolver } from '@urql/exchange-graphcache';

/** Times at which messages were deleted, by their keys, in each cache. */
const deletions = new WeakMap<Cache, Map<string, unknown>>();

function deletedAt(cache: Cache, key: string): unknown {
  return deletions.get(cache)?.get(key);
}

/**
 * Notes a deletion, which is final. The server may have read the data of one stream before a deletion that another stream has
 * already reported. Such data, or a late response, must not show the message again.
 */
export const deletionWritten: UpdateResolver = (message, _args, cache, { parentKey, optimistic }) => {
  if (message['deletedAt'] == null || optimistic) return;
  const known = deletions.get(cache) ?? new Map<string, unknown>();
  deletions.set(cache, known.set(parentKey, message['deletedAt']));
};

const cleared: Resolver = (_message, _args, cache, { parentKey, fieldName }) =>
  deletedAt(cache, parentKey) === undefined ? cache.resolve(parentKey, fieldName) : [];

/** Resolvers of those fields of a message that a deletion clears. */
export const deletedFields: Record<string, Resolver> = {
  deletedAt: (message, _args, cache, { parentKey }) => deletedAt(cache, parentKey) ?? message['deletedAt'],
  body: (message, _args, cache, { parentKey }) => (deletedAt(cache, parentKey) === undefined ? message['body'] : null),
  reactions: cleared,
  attachments: cleared,
  linkPreviews: cleared,
};
