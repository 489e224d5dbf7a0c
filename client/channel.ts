/**
 * Opens a channel to the other tabs of this browser. Calls the listener for each of their messages. Returns null if there
 * are no channels, as in React Native. The channel does not keep a Node process running.
 */
export function openChannel(
  name: string,
  closed: AbortSignal,
  listener: (message: unknown) => void,
): BroadcastChannel | null {
  if (typeof BroadcastChannel === 'undefined' || closed.aborted) return null;
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => {
    listener(data);
  };
  (channel as { unref?: () => void }).unref?.();
  closed.addEventListener('abort', () => {
    channel.close();
  });
  return channel;
}
