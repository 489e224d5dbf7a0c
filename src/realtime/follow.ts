import { resyncRequired } from './cursor.ts';
import type { LogEvent } from './log.ts';
import type { TailReader, Tails } from './tails.ts';

/** An event of a room's log; or, last of all, that the room is no more. */
export type Followed = Omit<LogEvent, 'kind'> & { kind: LogEvent['kind'] | 'CHATROOM_DELETED' };

/** Reads the logs of some rooms, each in order and each thing once: first what was missed, then what comes. */
export interface Follower extends AsyncIterableIterator<Followed, undefined> {
  /** Follows one more room, from what comes after `seq`. One that is followed already goes on where it is. */
  add(chatroomId: string, seq: number): void;
  /** Follows a room no longer. */
  drop(chatroomId: string): void;
  /** The last event of a room that was handed on; undefined for a room that is not followed. */
  position(chatroomId: string): number | undefined;
  /** Where the log of a room says that a user has left, which may be further on than what was handed on. */
  leftAt(chatroomId: string, userId: string): number | undefined;
}

/**
 * Follows rooms, each from what comes after the given `seq`. Missed and live come out of the same log, so that there is
 * no seam between them.
 *
 * It holds a position for each room and no queue: a follower that is not pulled costs nothing. It is a plain object,
 * since `return()` of an async generator waits for a pending `next()`, which may never come.
 */
export function follow(
  { tails, open }: { tails: Tails; open: { followers: number } },
  start: Iterable<readonly [chatroomId: string, seq: number]>,
): Follower {
  const rooms = new Map<string, { reader: TailReader; position: number; page: LogEvent[] }>();
  /** The rooms that may have something to read, the one that has waited longest first. */
  const ready = new Set<string>();
  let ended = false;
  let wake = () => {};
  open.followers += 1;

  function add(chatroomId: string, seq: number): void {
    if (ended || rooms.has(chatroomId)) return;
    const mayHaveGrown = () => {
      ready.add(chatroomId);
      wake();
    };
    rooms.set(chatroomId, { reader: tails.open(chatroomId, seq, mayHaveGrown), position: seq, page: [] });
    mayHaveGrown();
  }

  function drop(chatroomId: string): void {
    rooms.get(chatroomId)?.reader.close();
    rooms.delete(chatroomId);
    ready.delete(chatroomId);
  }

  async function next(): Promise<IteratorResult<Followed, undefined>> {
    while (!ended) {
      const [chatroomId] = ready;
      const room = chatroomId === undefined ? undefined : rooms.get(chatroomId);
      if (chatroomId === undefined || !room) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      // Before reading, so that what comes meanwhile puts it back.
      ready.delete(chatroomId);
      if (room.page.length === 0) {
        const deleted = room.reader.deleted();
        room.page = await room.reader.read(room.position).catch((error: unknown) => {
          end();
          throw error;
        });
        if (rooms.get(chatroomId) !== room) continue;
        if (deleted && room.page.length === 0) {
          drop(chatroomId);
          const last = {
            chatroomId,
            seq: room.position,
            kind: 'CHATROOM_DELETED',
            number: null,
            userId: null,
          } as const;
          return { value: last, done: false };
        }
      }
      const event = room.page.shift();
      if (!event) continue;
      if (event.seq !== room.position + 1) {
        // The log has no holes: what is missing was cleared away while this follower was far behind.
        end();
        throw resyncRequired('What followed has been cleared away.');
      }
      room.position = event.seq;
      ready.add(chatroomId);
      return { value: event, done: false };
    }
    return { value: undefined, done: true };
  }

  function end(): void {
    if (!ended) open.followers -= 1;
    ended = true;
    for (const chatroomId of [...rooms.keys()]) drop(chatroomId);
    wake();
  }

  for (const [chatroomId, seq] of start) add(chatroomId, seq);
  let turn: Promise<unknown> = Promise.resolve();
  const follower: Follower = {
    [Symbol.asyncIterator]: () => follower,
    add,
    drop,
    position: (chatroomId) => rooms.get(chatroomId)?.position,
    leftAt: (chatroomId, userId) => rooms.get(chatroomId)?.reader.leftAt(userId),
    next() {
      const result = turn.then(next, next);
      turn = result.catch(() => undefined);
      return result;
    },
    return() {
      end();
      return Promise.resolve({ value: undefined, done: true });
    },
  };
  return follower;
}
