/**
 * Collects items that arrive together, such as missed events after a reconnect, and passes them to `flush` in one call.
 * Otherwise a page would compute its layout again for each of a thousand missed messages.
 */
export function createBatch<Item>(flush: (items: Item[]) => void): { add: (item: Item) => void; cancel: () => void } {
  let items: Item[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    add(item) {
      items.push(item);
      timer ??= setTimeout(() => {
        const batch = items;
        items = [];
        timer = undefined;
        flush(batch);
      });
    },
    cancel() {
      clearTimeout(timer);
      timer = undefined;
      items = [];
    },
  };
}
