interface Answer<Lists> {
  admin?: Lists | null | undefined;
}

/** Returns an `updateQuery` for `fetchMore` that appends the next page to one list of the query. */
export function appendTo<Field extends string>(field: Field) {
  return <Data extends Answer<Record<Field, { nodes: unknown[] }>>>(
    former: Data,
    { fetchMoreResult: next }: { fetchMoreResult: Data },
  ): Data => {
    if (!former.admin || !next.admin) return former;
    const page = next.admin[field];
    return {
      ...next,
      admin: { ...next.admin, [field]: { ...page, nodes: [...former.admin[field].nodes, ...page.nodes] } },
    };
  };
}
