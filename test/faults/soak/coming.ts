import { ADD, BLOCK, CREATE, DELETE_ACCOUNT, END_ROOM, JOIN, LEAVE, REMOVE } from './documents.ts';
import { SIGN_IN, SIGN_OUT, SIGN_UP, UNBLOCK } from './documents.ts';
import { choose, type Life, takeTokens } from './life.ts';
import { close, end, type Ending, lives, type Membership, part, type Person, remove, type Room } from './world.ts';
import type { Session } from './world.ts';

/**
 * Number of users who never leave, sign in once and keep their room. Their tokens expire during streams, and a history
 * grows.
 */
const MOST_STAYING = 5;
const MOST_SESSIONS = 2;
/** Typical number of members of a room. */
const USUAL_MEMBERS = 6;
/** Share of users who are blocked by another user. */
const BLOCKED_SHARE = 0.1;
const PASSWORD = 'correct horse';

export async function signUp(life: Life): Promise<void> {
  const number = (life.counts.people += 1);
  const input = { username: `person-${number}`, password: PASSWORD };
  const data = await life.ask({ session: null, query: SIGN_UP, variables: { input }, stands: [] });
  if (!data) return;
  const { id } = data.signUp.viewer.user;
  const stays = number <= MOST_STAYING;
  const person: Person = { id, username: input.username, stays, sessions: [], memberships: [] };
  addSession(life, person, data.signUp);
  life.world.people.push(person);
}

/** Signs a random user in on another device. */
export async function signIn(life: Life): Promise<void> {
  const person = someMortal(life, ({ sessions }) => sessions.length < MOST_SESSIONS);
  if (!person) return;
  const input = { usernameOrEmail: person.username, password: PASSWORD };
  const data = await life.ask({ session: null, query: SIGN_IN, variables: { input }, stands: [person] });
  if (data && lives(person)) addSession(life, person, data.signIn);
}

function addSession({ counts }: Life, person: Person, given: object): void {
  counts.sessions += 1;
  const session: Session = { person, accessToken: '', refreshToken: '', expiresAt: 0 };
  takeTokens(session, given);
  person.sessions.push(session);
}

/** Signs a user out on one of several devices. The node must end the streams of that device. */
export async function signOut(life: Life): Promise<void> {
  const person = someMortal(life, ({ sessions }) => sessions.length > 1);
  const session = person && choose(life.random, person.sessions);
  if (!session) return;
  remove(person.sessions, session);
  await life.finish([session], { session, query: SIGN_OUT, stands: [person] });
}

/** Refreshes tokens at random times. The tokens of staying users expire. */
export async function refresh(life: Life): Promise<void> {
  const session = choose(life.random, someMortal(life)?.sessions ?? []);
  if (session) await life.keepFresh(session, Infinity);
}

export async function goAway(life: Life): Promise<void> {
  const person = someMortal(life);
  if (person) await deleteAccount(life, person);
}

/** Ends everything that belongs to a user, then deletes the account. */
export async function deleteAccount({ world, random, listening, finish }: Life, person: Person): Promise<void> {
  const session = choose(random, person.sessions);
  if (!session) return;
  remove(world.people, person);
  world.blocks = world.blocks.filter(({ by, whom }) => by !== person && whom !== person);
  end([person, ...person.sessions]);
  // Half of the users disconnect first. The node must end the streams of the others.
  if (random() < 0.5) listening.hangUp([person]);
  // Marks all rooms as ended at once, so that no other action chooses one of them.
  const memberships = [...person.memberships];
  const owned = memberships.filter(({ owns }) => owns).map(({ room }) => ({ room, over: close(world, room) }));
  for (const membership of memberships) {
    const { room } = membership;
    // The other member keeps a direct room, but no longer reads it.
    if (room.kind === 'DIRECT') listening.hangUp(close(world, room));
    else part(membership);
  }
  for (const { room, over } of owned)
    await finish(over, { session, query: END_ROOM, variables: inputOf({ chatroomId: room.id }), stands: [] });
  const variables = inputOf({ password: PASSWORD });
  await finish([], { session, query: DELETE_ACCOUNT, variables, stands: [] });
}

export async function makeRoom(life: Life): Promise<void> {
  const { world, random, ask } = life;
  const person = choose(random, world.people);
  const session = person && choose(random, person.sessions);
  if (!session || (person.stays && person.memberships.some(({ owns }) => owns))) return;
  const kind = !person.stays && random() < 0.25 ? 'DIRECT' : random() < 0.2 ? 'OPEN' : 'GROUP';
  // A direct room is permanent, so a staying user would accumulate them.
  const fits = (other: Person) => kind !== 'DIRECT' || (!other.stays && !sharesDirect(person, other));
  const others = new Set<Person>();
  for (let i = 0; i < (kind === 'DIRECT' ? 1 : USUAL_MEMBERS - 2); i += 1) {
    const other = someFriendly(life, person, fits);
    if (other) others.add(other);
  }
  if (others.size === 0) return;
  life.counts.rooms += 1;
  const memberIds = [...others].map(({ id }) => id);
  const input = { kind, memberIds, ...(kind === 'DIRECT' ? {} : { name: `Room ${life.counts.rooms}` }) };
  const stands = [session, person, ...[...others].flatMap((other) => [other, world.peaceOf(person, other)])];
  const data = await ask({ session, query: CREATE, variables: { input }, stands });
  if (!data || !lives(person)) return;
  const room: Room = { id: data.createChatroom.chatroom.id, kind, memberships: [], changing: new Set(), messages: [] };
  world.join(person, room, kind !== 'DIRECT');
  for (const other of others) if (lives(other)) world.join(other, room);
  world.rooms.push(room);
}

export async function endRoom({ world, random, finish }: Life): Promise<void> {
  const room = choose(random, world.rooms);
  const owner = room && ownerOf(room);
  const session = owner && choose(random, owner.person.sessions);
  if (!session || owner.person.stays) return;
  const variables = inputOf({ chatroomId: room.id });
  await finish(close(world, room), { session, query: END_ROOM, variables, stands: [session] });
}

/** Adds a member to a small room, or removes one from a large room. */
export async function changeMembers(life: Life): Promise<void> {
  const { world, random, ask, finish } = life;
  const room = choose(random, world.rooms);
  const owner = room && ownerOf(room);
  if (!owner) return;
  const isIn = (person: Person) => room.memberships.some((membership) => membership.person === person);
  // The order of two concurrent membership changes is unknown, so only one runs at a time.
  const changing = async (person: Person, change: Promise<any>) => {
    room.changing.add(person);
    return change.finally(() => room.changing.delete(person));
  };
  const member = choose(
    random,
    room.memberships.filter(({ owns }) => !owns),
  );
  if (member && room.memberships.length >= USUAL_MEMBERS) {
    const leaves = random() < 0.5;
    const session = choose(random, (leaves ? member : owner).person.sessions);
    if (!session) return;
    const variables = inputOf({ chatroomId: room.id, ...(leaves ? {} : { userId: member.person.id }) });
    const stands = [session, room, member.person];
    return changing(
      member.person,
      finish(part(member), { session, query: leaves ? LEAVE : REMOVE, variables, stands }),
    );
  }
  const newcomer = someFriendly(life, owner.person, (other) => !isIn(other) && !room.changing.has(other));
  const joins = room.kind === 'OPEN';
  const session = newcomer && choose(random, (joins ? newcomer : owner.person).sessions);
  if (!session) return;
  const variables = inputOf({ chatroomId: room.id, ...(joins ? {} : { userIds: [newcomer.id] }) });
  const stands = [session, room, newcomer, world.peaceOf(owner.person, newcomer)];
  const data = await changing(newcomer, ask({ session, query: joins ? JOIN : ADD, variables, stands }));
  if (data && lives(room) && lives(newcomer)) world.join(newcomer, room);
}

export async function blockSomebody(life: Life): Promise<void> {
  const { world, random, ask } = life;
  const by = choose(random, world.people);
  const whom = by && someFriendly(life, by);
  const session = by && choose(random, by.sessions);
  if (!whom || !session || world.blocks.length > world.people.length * BLOCKED_SHARE) return;
  const peace = world.peaceOf(by, whom);
  end([peace]);
  await ask({ session, query: BLOCK, variables: inputOf({ userId: whom.id }), stands: [session, by, whom] });
  if (lives(by) && lives(whom)) world.blocks.push({ by, whom, peace });
}

export async function unblockSomebody({ world, random, ask }: Life): Promise<void> {
  const block = choose(random, world.blocks);
  const session = block && choose(random, block.by.sessions);
  if (!session) return;
  remove(world.blocks, block);
  const stands: Ending[] = [session, block.by, block.whom];
  const data = await ask({ session, query: UNBLOCK, variables: inputOf({ userId: block.whom.id }), stands });
  if (data) world.makePeace(block);
}

/** Returns a user without a block to or from another user. */
export function someFriendly(
  { world, random }: Life,
  person: Person,
  fits: (other: Person) => boolean = () => true,
): Person | undefined {
  return choose(
    random,
    world.people.filter((other) => other !== person && fits(other) && lives(world.peaceOf(person, other))),
  );
}

function someMortal({ world, random }: Life, fits: (person: Person) => boolean = () => true): Person | undefined {
  return choose(
    random,
    world.people.filter((person) => !person.stays && fits(person)),
  );
}

function ownerOf({ memberships }: Room): Membership | undefined {
  return memberships.find(({ owns }) => owns);
}

function sharesDirect({ memberships }: Person, other: Person): boolean {
  return memberships.some(
    ({ room }) => room.kind === 'DIRECT' && room.memberships.some(({ person }) => person === other),
  );
}

export const inputOf = (input: object) => ({ input });
