import { useSyncExternalStore } from 'react';

function subscribe(listener: () => void): () => void {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
}

/** Returns the section that the fragment of the URL names, or else the first. */
export function useSection<Name extends string>(names: readonly [Name, ...Name[]]): Name {
  const hash = useSyncExternalStore(subscribe, () => location.hash.slice(1));
  return names.find((name) => name === hash) ?? names[0];
}
