import type { ChatClient } from '../index.ts';
import type { ChatCache, TypedDocument } from './cache.ts';
import { createViewerEvents, type ViewerEvents } from './viewerEvents.ts';

/** Values that a `ChatProvider` shares with all hooks below it. */
export interface Chat {
  client: ChatClient;
  cache: ChatCache;
  viewerEvents: ViewerEvents;
}

export function createChat(client: ChatClient, cache: ChatCache): Chat {
  return { client, cache, viewerEvents: createViewerEvents(client, cache) };
}

/**
 * Queries the server, and retries until there is a response. Bypasses the cache, because its lists merge several pages.
 */
export function query<Data, Variables extends object>(
  { client }: Pick<Chat, 'client'>,
  document: TypedDocument<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  return client.execute(document, variables, { retry: true });
}

/** Queries the server and writes the response to the cache. */
export async function load<Data, Variables extends object>(
  chat: Pick<Chat, 'client' | 'cache'>,
  document: TypedDocument<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const data = await query(chat, document, variables);
  chat.cache.write(document, variables, data);
  return data;
}
