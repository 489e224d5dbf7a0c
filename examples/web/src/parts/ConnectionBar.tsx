import type { ChatState } from '@parley/client';
import { useConnection } from '@parley/client/react';

const WORDS: Record<ChatState, string> = {
  idle: 'Connecting…',
  connecting: 'Connecting…',
  'catching-up': 'Catching up…',
  live: 'Live',
  offline: 'Offline. What you write is sent when the connection is back.',
  'signed-out': 'Signed out',
};

/** How things stand with the server. While all is well it is only said, to those who cannot see that. */
export function ConnectionBar() {
  const { state, reason } = useConnection();
  return (
    <p className="connection" role="status" data-state={state} title={reason?.message}>
      {WORDS[state]}
    </p>
  );
}
