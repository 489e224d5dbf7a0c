import type { ReactNode } from 'react';

/** Placeholder for content that is loading. Contains the level-1 heading that screen readers expect on every screen. */
export function Waiting({ children }: { children: ReactNode }) {
  return (
    <div className="waiting">
      <h1 className="hidden">Parley</h1>
      <p role="status">{children}</p>
    </div>
  );
}
