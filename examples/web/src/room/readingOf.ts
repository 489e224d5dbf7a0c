import type { ReadMarksResult } from '@parley/client/react';
import type { Message, Person, Room } from '../types.ts';
import type { Reading } from './ReadBy.tsx';

type Marks = Pick<ReadMarksResult<Person>, 'marks' | 'readersOf'>;

/** Returns the viewer's newest message that others have read, with its readers. Returns null if there is none. */
export function readingOf(
  messages: readonly Message[],
  { kind }: Pick<Room, 'kind'>,
  viewerId: string,
  { marks, readersOf }: Marks,
): { message: Message; reading: Reading } | null {
  const highest = Math.max(0, ...marks.map(({ lastReadNumber }) => lastReadNumber));
  const message = messages.findLast(
    ({ kind: what, sender, deletedAt, number, seenByAll }) =>
      what === 'USER' && sender?.id === viewerId && deletedAt === null && (seenByAll || number <= highest),
  );
  if (!message) return null;
  const { number, seenByAll: byAll } = message;
  return {
    message,
    reading: { readers: readersOf(number), others: marks.length, byAll, direct: kind === 'DIRECT' },
  };
}
