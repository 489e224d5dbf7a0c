import { derivedId } from '../../core/globalIds.ts';
import type { DemoUsername } from './people.ts';

/** Namespace of the ids of demo data. */
export const DEMO_SOURCE = 'parley demo';

/** Id of the room with the long history. */
export const DEMO_ROOM = derivedId(DEMO_SOURCE, 'room garden');

/** Returns the id of a demo user. The id is the same on every machine. */
export function demoUserId(username: DemoUsername): string {
  return derivedId(DEMO_SOURCE, `user ${username}`);
}
