/** Something that can end. Operations that overlap its end may be refused, and streams may end. */
export interface Ending {
  overAt?: number;
}

export interface Person extends Ending {
  id: string;
  username: string;
  /** True for a user who never leaves, so that their tokens expire and must be refreshed. */
  stays: boolean;
  sessions: Session[];
  memberships: Membership[];
}

/** A user signed in on a device. */
export interface Session extends Ending {
  person: Person;
  accessToken: string;
  refreshToken: string;
  /** Expiry of the access token, as a timestamp in milliseconds. */
  expiresAt: number;
  refreshing?: Promise<void> | undefined;
}

export interface Room extends Ending {
  id: string;
  kind: 'DIRECT' | 'GROUP' | 'OPEN';
  memberships: Membership[];
  /** Users who are being added or removed. */
  changing: Set<Person>;
  /** The latest messages of the room. */
  messages: Message[];
}

export interface Membership extends Ending {
  person: Person;
  room: Room;
  owns: boolean;
  /** Cursor up to which the history has been paged. */
  page: string | null;
}

export interface Message extends Ending {
  id: string;
  sender: Person;
}

/** A block. Two users have a peace while there is none. */
export interface Block {
  by: Person;
  whom: Person;
  peace: Ending;
}

/** All users and rooms whose creation is confirmed and whose end has not begun. */
export interface World {
  people: Person[];
  rooms: Room[];
  blocks: Block[];
  /** The peace between two users, which ends while one blocks the other. */
  peaceOf: (a: Person, b: Person) => Ending;
  /** Called after a block was removed. */
  makePeace(block: Block): void;
  join(person: Person, room: Room, owns?: boolean): Membership;
}

/** Maximum number of remembered messages per room, for replies. */
const MOST_MESSAGES = 10;

export function lives(thing: Ending): boolean {
  return thing.overAt === undefined;
}

/** Marks things as ended before the request is sent, so that no other action chooses them. */
export function end(things: readonly Ending[]): void {
  for (const thing of things) thing.overAt ??= performance.now();
}

/** Creates an empty world. */
export function createWorld(): World {
  const peaces = new Map<string, Ending>();
  const keyOf = (a: Person, b: Person) => [a.id, b.id].sort().join();
  return {
    people: [],
    rooms: [],
    blocks: [],
    peaceOf(a, b) {
      const key = keyOf(a, b);
      const peace = peaces.get(key) ?? {};
      peaces.set(key, peace);
      return peace;
    },
    makePeace({ by, whom }) {
      peaces.delete(keyOf(by, whom));
    },
    join(person, room, owns = false) {
      const membership: Membership = { person, room, owns, page: null };
      person.memberships.push(membership);
      room.memberships.push(membership);
      return membership;
    },
  };
}

/**
 * Returns everything that must exist for a member to act in a room. In a direct room, this includes the peace with the
 * other.
 */
export function standsOf({ peaceOf }: World, membership: Membership): Ending[] {
  const { person, room } = membership;
  const others = room.kind === 'DIRECT' ? room.memberships.filter((other) => other.person !== person) : [];
  return [membership, room, ...others.map((other) => peaceOf(person, other.person))];
}

export function remember({ messages }: Room, message: Message): void {
  messages.push(message);
  if (messages.length > MOST_MESSAGES) messages.shift();
}

/** Ends a membership. Returns everything that ended with it. */
export function part(membership: Membership): Ending[] {
  end([membership]);
  remove(membership.person.memberships, membership);
  remove(membership.room.memberships, membership);
  return [membership];
}

/** Ends a room with all its memberships. Returns everything that ended with it. */
export function close(world: World, room: Room): Ending[] {
  const over = [room, ...[...room.memberships].flatMap(part)];
  end(over);
  remove(world.rooms, room);
  return over;
}

export function remove<Item>(items: Item[], item: Item): void {
  const index = items.indexOf(item);
  if (index >= 0) items.splice(index, 1);
}
