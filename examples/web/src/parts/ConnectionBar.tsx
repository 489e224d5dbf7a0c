import type { ChatState } from '@parley/client';
import { useConnection } from '@parley/client/react';

const WORDS: Record<ChatState, string> = {
  idle: 'Connecting…',
  connecting: 'Connecting…',
  'catching-up': 'Catching up…',
  live: 'Live',
  offline: 'Offline. Your messages will be sent when you are back online.',
  'signed-out': 'Signed out',
};

/** Shows the state of the connection. While the connection is live, the text is visible to screen readers only. */
export function ConnectionBar() {
  const { state, reason } = useConnection();
  return (
    <p className="connection" role="status" data-state={state} title={reason?.message}>
      {WORDS[state]}
    </p>
  );
}
