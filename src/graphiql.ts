import type { GraphiQLOptions } from 'graphql-yoga';
import type { ServerNode } from './context.ts';

/** What GraphiQL opens with. */
export async function graphiqlOptions(_node: ServerNode): Promise<GraphiQLOptions> {
  return Promise.resolve({ title: 'Parley', subscriptionsProtocol: 'WS' });
}
