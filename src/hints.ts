import type { Bus } from './realtime/bus.ts';

/**
 * What one user's streams are told of beside the logs of their rooms. A hint may be lost, repeated or late, and says only
 * where to look: whoever hears one asks the database what is true.
 */
export type Hint =
  | { kind: 'PRESENCE'; userId: string }
  | { kind: 'FRIENDSHIP'; userId: string; status: 'PENDING' | 'ACCEPTED' | null }
  | { kind: 'UNREAD'; chatroomId: string }
  | { kind: 'HIDDEN'; chatroomId: string }
  | { kind: 'SEEN'; chatroomId: string; number: number }
  | { kind: 'NOTICE'; body: string; sentAt: string };

/** Tells a user's streams on all nodes; after the commit, and never awaited. */
export function hint(bus: Bus, userId: string, what: Hint): void {
  bus.publish(topic(userId), what);
}

/** Hears what a user's streams are told, from when it answers: with a function that ends it. */
export function hear(bus: Bus, userId: string, onHint: (what: Hint) => void): Promise<() => void> {
  return bus.listen(topic(userId), (what) => {
    onHint(what as Hint);
  });
}

function topic(userId: string): string {
  return `user:${userId}`;
}
