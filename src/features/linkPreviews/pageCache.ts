import type { ServerNode } from '../../core/context.ts';
import { createUuid } from '../../core/globalIds.ts';
import { columnsOf, type Database, sql } from '../../platform/database/database.ts';
import { Prisma, type WebPage } from '../../platform/database/generated/client.ts';
import { fetchPage } from '../../platform/web/pages.ts';
import { OperationSlots } from '../../platform/rateLimits/slots.ts';
import type { WebClient } from '../../platform/web/webClient.ts';
import { MAX_LINK_PREVIEWS } from '../messages/messages.ts';
import { storePageImage } from './pageImages.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    /** Null if LINK_PREVIEWS is off. */
    findPage: PageFinder | null;
  }
}

/** Time for which the metadata of a page is reused, in hours. */
const PAGE_HOURS = 24;
/** Time after which a page without metadata is requested again, in hours. */
const FAILURE_HOURS = 1;
/** Maximum time to find a page with its image, in milliseconds. A page whose image takes longer is stored without one. */
const MAX_SEARCH_MS = 8_500;
/**
 * Maximum number of concurrent searches of a user on this node: one message. Otherwise one user with links to slow servers
 * would occupy all requests that a node sends at a time.
 */
const MAX_SEARCHES_PER_USER = MAX_LINK_PREVIEWS;
/**
 * Number of hours after which `prunePages` deletes a page that no message shows, and after which a page is deleted with its last
 * preview (SQL function `delete_page_without_previews`). One hour longer than a page is reused.
 */
const PRUNE_HOURS = PAGE_HOURS + 1;

/** Column names of a page. */
export const pageFields = Object.values(Prisma.WebPageScalarFieldEnum);
const pageColumns = columnsOf('p', pageFields);

/** The user for whom a page is searched. */
export interface Searcher {
  userId: string;
  /** Maximum time to wait while too many searches of the user are running, in milliseconds. */
  maxWaitMs: number;
}

/**
 * Returns the metadata of a page, from the cache or from the web. Null if there is none. Does not return the reason; see
 * `WebClient`.
 *
 * @throws ChatError `RATE_LIMITED` if this node requests too many pages, for the user or in total
 */
export type PageFinder = (url: string, searcher: Searcher) => Promise<WebPage | null>;

/**
 * Creates the page finder of one node. The cache is a table, so that all nodes share it. Concurrent searches for a page
 * on this node share one request.
 */
export function createPageFinder(
  node: Pick<ServerNode, 'database' | 'files' | 'images' | 'rateLimits'>,
  client: WebClient,
): PageFinder {
  const { query } = node.database;
  const running = new Map<string, Promise<WebPage>>();
  const slots = new OperationSlots({ operations: 0, operationsWaiting: 0 });

  async function findCached(url: string): Promise<WebPage | undefined> {
    const [cached] = await query<WebPage>(sql`
      SELECT ${pageColumns} FROM web_pages p
        WHERE p.url = ${url} AND p.fetched_at > now() - make_interval(hours =>
          CASE WHEN p.title IS NULL AND p.description IS NULL THEN ${FAILURE_HOURS}::int ELSE ${PAGE_HOURS}::int END)
        ORDER BY p.fetched_at DESC LIMIT 1`);
    return cached;
  }

  async function request(url: string): Promise<WebPage> {
    const startedAt = performance.now();
    const page = await fetchPage(client, url);
    const id = createUuid();
    const remainingMs = MAX_SEARCH_MS - (performance.now() - startedAt);
    const image = page?.imageUrl == null ? null : await storePageImage(node, client, id, page.imageUrl, remainingMs);
    const [stored] = await query<WebPage>(sql`
      INSERT INTO web_pages AS p (id, url, title, description, site_name, image)
        VALUES (${id}::uuid, ${url}, ${page?.title ?? null}, ${page?.description ?? null}, ${page?.siteName ?? null},
          ${image && JSON.stringify(image)}::jsonb)
        RETURNING ${pageColumns}`);
    if (!stored) throw new Error('The page was not stored.');
    return stored;
  }

  /** Returns a page. Joins a request for the page that is running, which another user may have paid. */
  async function find(url: string, userId: string): Promise<WebPage | null> {
    let page = await (running.get(url) ?? findCached(url));
    if (!page) {
      if (!running.has(url)) await node.rateLimits.chargePage(userId);
      let search = running.get(url);
      if (!search) running.set(url, (search = request(url).finally(() => running.delete(url))));
      page = await search;
    }
    return page.title === null && page.description === null ? null : page;
  }

  return async (text, { userId, maxWaitMs }) => {
    const url = client.normalize(text);
    if (url === null) return null;
    const wait = { key: userId, max: MAX_SEARCHES_PER_USER, maxWaitMs, isDisconnected: () => false };
    const release = await slots.acquire(wait);
    return find(url, userId).finally(release);
  };
}

/** Deletes previews that nobody has sent within a day, and old pages that no message shows. */
export async function prunePages({ query }: Pick<Database, 'query'>): Promise<void> {
  await query(sql`
    DELETE FROM link_previews WHERE user_id IS NOT NULL AND created_at < now() - make_interval(hours => ${PAGE_HOURS})`);
  await query(sql`
    DELETE FROM web_pages p WHERE p.fetched_at < now() - make_interval(hours => ${PRUNE_HOURS})
      AND NOT EXISTS (SELECT FROM link_previews l WHERE l.page_id = p.id)`);
}
