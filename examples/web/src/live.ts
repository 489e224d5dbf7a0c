import type { OperationVariables, TypedDocumentNode } from '@apollo/client';
import type { StreamOptions } from '@parley/client';
import type { Session } from './session.ts';

/** Asks until there is an answer, puts it into the cache, and answers it. */
export async function load<Data, Variables extends OperationVariables>(
  { apollo, chat }: Session,
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const data = await chat.execute<Data, Variables>(apollo.cache.transformDocument(query), variables, { retry: true });
  apollo.writeQuery({ query, variables, data });
  return data;
}

/**
 * Follows a subscription, with each result put into the cache, until the signal fires. What comes at once, as after a time
 * offline, is shown at once: else the page would be laid out anew for each of a thousand messages.
 */
export async function follow<Data, Variables extends OperationVariables>(
  { apollo, chat }: Session,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  { signal, onData, ...options }: StreamOptions & { signal: AbortSignal; onData: (data: Data) => void },
): Promise<void> {
  const query = apollo.cache.transformDocument(document);
  const stream = chat.subscribe<Data, Variables>(query, variables, options);
  const stop = () => void stream.return();
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);

  let arrived: Data[] = [];
  const show = () => {
    const all = arrived;
    arrived = [];
    if (signal.aborted) return;
    apollo.cache.batch({
      update(cache) {
        for (const data of all) {
          cache.writeQuery({ id: 'ROOT_SUBSCRIPTION', query, variables, data: data as object });
          onData(data);
        }
      },
    });
  };
  for await (const data of stream) {
    if (arrived.length === 0) setTimeout(show);
    arrived.push(data);
  }
}
