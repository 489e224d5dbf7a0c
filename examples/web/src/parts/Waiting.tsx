import type { ReactNode } from 'react';

/** Stands where content will be. Every screen has a heading of the first level, which screen readers look for. */
export function Waiting({ children }: { children: ReactNode }) {
  return (
    <div className="waiting">
      <h1 className="hidden">Parley</h1>
      <p role="status">{children}</p>
    </div>
  );
}
