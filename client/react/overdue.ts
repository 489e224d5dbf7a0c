/**
 * Time in which the event `UnreadChanged` follows a message, in ms. The server sends it at most ten times a second for each
 * room.
 */
const TIMEOUT_MS = 2_000;
/** Maximum timeout after several overdue events, in ms. */
const MAX_TIMEOUT_MS = 128_000;

/** Rooms with a message whose event `UnreadChanged` has not arrived yet. */
export interface Overdue {
  /** Called when the stream of these events has started. It may have missed events. */
  started: () => void;
  /** Called for each message of a room. */
  expect: (chatroomId: string) => void;
  /** Called for each `UnreadChanged` of a room. */
  arrived: (chatroomId: string) => void;
  clear: () => void;
}

/**
 * Calls `onOverdue` if no `UnreadChanged` follows a message in time. The stream replays none of the events that messages
 * cause, so an event is missed if its message was sent while the stream started.
 *
 * The timeout doubles after each overdue event until the stream starts again, because the server may only be slow. It
 * would become slower if all clients loaded their lists after each message.
 *
 * @param onOverdue loads all rooms
 */
export function createOverdue(onOverdue: () => void): Overdue {
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  let timeout = TIMEOUT_MS;
  const arrived = (chatroomId: string) => {
    clearTimeout(timers.get(chatroomId));
    timers.delete(chatroomId);
  };
  const clear = () => {
    for (const chatroomId of [...timers.keys()]) arrived(chatroomId);
  };
  return {
    started() {
      timeout = TIMEOUT_MS;
    },
    expect(chatroomId) {
      if (timers.has(chatroomId)) return;
      const timer = setTimeout(() => {
        clear();
        timeout = Math.min(timeout * 2, MAX_TIMEOUT_MS);
        onOverdue();
      }, timeout);
      timers.set(chatroomId, timer);
    },
    arrived,
    clear,
  };
}
