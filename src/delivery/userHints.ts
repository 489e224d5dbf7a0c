import { z } from 'zod';
import type { Bus } from '../platform/redis/bus.ts';

/**
 * Hint to the streams of one user that something has changed, such as an unread count. A hint may be lost, repeated or
 * late. The receiver reads the current state. Only a `NOTICE` is stored nowhere, and contains the notice itself.
 */
const hintSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('PRESENCE'), userId: z.uuid() }),
  z.object({
    kind: z.literal('FRIENDSHIP'),
    userId: z.uuid(),
    // Read by nodes of release 0.1.0 only.
    status: z.enum(['PENDING', 'ACCEPTED']).nullable(),
    // Whether the change poller reports the change as well, so that this hint serves nodes of release 0.1.0 only. Those
    // nodes do not send this field.
    isPolled: z.boolean().default(false),
  }),
  z.object({ kind: z.literal('UNREAD'), chatroomId: z.uuid() }),
  z.object({ kind: z.literal('SEEN'), chatroomId: z.uuid(), number: z.int32().positive() }),
  z.object({
    kind: z.literal('NOTICE'),
    body: z.string(),
    sentAt: z.iso.datetime(),
    // Nodes of release 0.1.0 do not send these fields.
    service: z.string().nullable().default(null),
    authorName: z.string().nullable().default(null),
    clientMessageId: z.string().nullable().default(null),
  }),
]);
export type Hint = z.infer<typeof hintSchema>;

/** Publishes a hint to a user's streams on all nodes, without waiting for Redis. Call it after the commit. */
export function publishHint(bus: Bus, userId: string, hint: Hint): void {
  bus.publish(topic(userId), hint);
}

/**
 * Subscribes to the hints of a user.
 *
 * @returns a function that ends the subscription; the promise resolves when the subscription is active
 */
export function subscribeHints(bus: Bus, userId: string, onHint: (hint: Hint) => void): Promise<() => void> {
  return bus.listen(topic(userId), (received) => {
    // Other programs may publish to the same Redis. An invalid hint is ignored, because an exception would end the
    // stream.
    const { data } = hintSchema.safeParse(received);
    if (data) onHint(data);
  });
}

function topic(userId: string): string {
  return `user:${userId}`;
}
