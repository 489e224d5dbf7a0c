import { useState } from 'react';

interface Props {
  /** Paging of the list so far. The button is shown if there is or was another page. */
  pageInfo: { hasNextPage: boolean; endCursor?: string | null | undefined } | undefined;
  /** Loads the page after a cursor. */
  load: (after: string | null | undefined) => Promise<unknown>;
}

/** A button that loads the next page of a list. */
export function MoreButton({ pageInfo, load }: Props) {
  const [used, setUsed] = useState(false);
  // A used button stays after the last page, because its removal would lose the focus.
  if (!pageInfo || !(pageInfo.hasNextPage || used)) return null;
  const { hasNextPage, endCursor } = pageInfo;
  const more = () => {
    setUsed(true);
    void load(endCursor);
  };
  return (
    <button type="button" aria-disabled={!hasNextPage} onClick={() => hasNextPage && more()}>
      {hasNextPage ? 'Show more' : 'All are shown'}
    </button>
  );
}
