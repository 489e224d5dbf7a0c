import type { ChatState } from '@parley/client';
import { useEffect, useState } from 'react';
import { useSession } from '../session.ts';

const WORDS: Record<ChatState, string> = {
  idle: 'Connecting…',
  connecting: 'Connecting…',
  'catching-up': 'Catching up…',
  live: 'Live',
  offline: 'Offline. What you write is sent when the connection is back.',
  'signed-out': 'Signed out',
};

/** How things stand with the server. While all is well it is only a dot, and says so to those who cannot see it. */
export function ConnectionBar() {
  const { chat } = useSession();
  const [{ state, reason }, set] = useState<{ state: ChatState; reason: string | null }>({
    state: chat.state,
    reason: null,
  });
  useEffect(() => {
    set({ state: chat.state, reason: null });
    return chat.onState((now, error) => set({ state: now, reason: error?.message ?? null }));
  }, [chat]);
  return (
    <p className="connection" role="status" data-state={state} title={reason ?? undefined}>
      {WORDS[state]}
    </p>
  );
}
