/** What can come to an end. What was asked of it around that time may be refused, or end with it. */
export interface Ending {
  overAt?: number;
}

export interface Person extends Ending {
  id: string;
  username: string;
  /** Never goes: whoever lives on needs new tokens. */
  stays: boolean;
  sessions: Session[];
  memberships: Membership[];
}

/** Somebody signed in on a device. */
export interface Session extends Ending {
  person: Person;
  accessToken: string;
  refreshToken: string;
  /** When the access token runs out, by the clock. */
  expiresAt: number;
  refreshing?: Promise<void> | undefined;
}

export interface Room extends Ending {
  id: string;
  kind: 'DIRECT' | 'GROUP' | 'OPEN';
  memberships: Membership[];
  /** Who is being taken in or out. */
  changing: Set<Person>;
  /** The latest of them. */
  messages: Message[];
}

export interface Membership extends Ending {
  person: Person;
  room: Room;
  owns: boolean;
  /** How far back its history has been paged. */
  page: string | null;
}

export interface Message extends Ending {
  id: string;
  sender: Person;
}

/** A block; two people have peace while there is none. */
export interface Block {
  by: Person;
  whom: Person;
  peace: Ending;
}

/** Who and what there is, as far as it has been answered; nothing of what is over. */
export interface World {
  people: Person[];
  rooms: Room[];
  blocks: Block[];
  /** The peace between two people; it is over while one of them blocks the other. */
  peaceOf: (a: Person, b: Person) => Ending;
  /** After a block was taken back. */
  makePeace(block: Block): void;
  join(person: Person, room: Room, owns?: boolean): Membership;
}

/** How many messages of a room are remembered, to be answered to. */
const MOST_MESSAGES = 10;

export function lives(thing: Ending): boolean {
  return thing.overAt === undefined;
}

/** Ends something, before the server is asked to: from now on nobody chooses it any more. */
export function end(things: readonly Ending[]): void {
  for (const thing of things) thing.overAt ??= performance.now();
}

/** A world without anybody. */
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

/** What must be there for a member to do something in a room: in a direct one, peace with the other. */
export function standsOf({ peaceOf }: World, membership: Membership): Ending[] {
  const { person, room } = membership;
  const others = room.kind === 'DIRECT' ? room.memberships.filter((other) => other.person !== person) : [];
  return [membership, room, ...others.map((other) => peaceOf(person, other.person))];
}

export function remember({ messages }: Room, message: Message): void {
  messages.push(message);
  if (messages.length > MOST_MESSAGES) messages.shift();
}

/** Ends a membership, and answers what is over by that. */
export function part(membership: Membership): Ending[] {
  end([membership]);
  remove(membership.person.memberships, membership);
  remove(membership.room.memberships, membership);
  return [membership];
}

/** Ends a room with all its memberships, and answers what is over by that. */
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
