import { z } from 'zod';
import type { Bus } from './realtime/bus.ts';

/**
 * What one user's streams are told of beside the logs of their rooms. A hint may be lost, repeated or late, and says only
 * where to look: whoever hears one asks the database what is true.
 */
const hintSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('PRESENCE'), userId: z.uuid() }),
  z.object({
    kind: z.literal('FRIENDSHIP'),
    userId: z.uuid(),
    status: z.enum(['PENDING', 'ACCEPTED']).nullable(),
  }),
  z.object({ kind: z.literal('UNREAD'), chatroomId: z.uuid() }),
  z.object({ kind: z.literal('SEEN'), chatroomId: z.uuid(), number: z.int32().positive() }),
  z.object({
    kind: z.literal('NOTICE'),
    body: z.string(),
    sentAt: z.iso.datetime(),
    // Nodes of 0.1.0 leave these out.
    service: z.string().nullable().default(null),
    authorName: z.string().nullable().default(null),
    clientMessageId: z.string().nullable().default(null),
  }),
]);
export type Hint = z.infer<typeof hintSchema>;

/** Tells a user's streams on all nodes; after the commit, and never awaited. */
export function hint(bus: Bus, userId: string, what: Hint): void {
  bus.publish(topic(userId), what);
}

/** Hears what a user's streams are told, from when it answers: with a function that ends it. */
export function hear(bus: Bus, userId: string, onHint: (what: Hint) => void): Promise<() => void> {
  return bus.listen(topic(userId), (what) => {
    // Redis may be shared with others, who say what they like: that must end no stream.
    const { data } = hintSchema.safeParse(what);
    if (data) onHint(data);
  });
}

function topic(userId: string): string {
  return `user:${userId}`;
}
