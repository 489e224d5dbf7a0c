interface Props {
  /** Paging of the list so far. The button is shown if there is another page. */
  pageInfo: { hasNextPage: boolean; endCursor?: string | null | undefined } | undefined;
  /** Loads the page after a cursor. */
  load: (after: string | null | undefined) => Promise<unknown>;
}

/** A button that loads the next page of a list. */
export function MoreButton({ pageInfo, load }: Props) {
  if (!pageInfo?.hasNextPage) return null;
  return (
    <button type="button" onClick={() => void load(pageInfo.endCursor)}>
      Show more
    </button>
  );
}

/** Returns a list that has the items of a page and of the page after it. */
export function joinPages<Page extends { nodes: unknown[] }>(former: Page, next: Page): Page {
  return { ...next, nodes: [...former.nodes, ...next.nodes] };
}
