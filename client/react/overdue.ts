/**
 * Time in which the event `UnreadChanged` follows a message, in ms. The server sends it at most ten times a second for each
 * room.
 */
const TIMEOUT_MS = 2_000;

/** Rooms with a message whose event `UnreadChanged` has not arrived yet. */
export interface Overdue {
  /** Called for each message of a room. */
  expect: (chatroomId: string) => void;
  /** Called for each `UnreadChanged` of a room. */
  arrived: (chatroomId: string) => void;
  clear: () => void;
}

/**
 * Calls `onOverdue` if no `UnreadChanged` follows a message in time. The stream of these events replays none, so an event
 * is missed if its message was sent while the stream started.
 */
export function createOverdue(onOverdue: () => void): Overdue {
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const arrived = (chatroomId: string) => {
    clearTimeout(timers.get(chatroomId));
    timers.delete(chatroomId);
  };
  return {
    expect(chatroomId) {
      if (timers.has(chatroomId)) return;
      const timer = setTimeout(() => {
        timers.delete(chatroomId);
        onOverdue();
      }, TIMEOUT_MS);
      timers.set(chatroomId, timer);
    },
    arrived,
    clear() {
      for (const chatroomId of [...timers.keys()]) arrived(chatroomId);
    },
  };
}
