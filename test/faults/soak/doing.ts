import { BEFRIEND, DELETE, EDIT, HISTORY, MARK_READ, MEMBERS, REACT, ROOMS } from './documents.ts';
import { SEARCH, SEND, STREAMS, TAKE_BACK, TYPE, UNFRIEND } from './documents.ts';
import { inputOf, someFriendly } from './coming.ts';
import { choose, type Life } from './life.ts';
import type { StreamKind } from './listening.ts';
import { end, lives, remember, remove, type Session, standsOf } from './world.ts';

const WORDS =
  'river lamp winter paper garden sudden quiet copper window letter morning ladder cherry silver market station'.split(
    ' ',
  );
const EMOJI = ['👍', '🎉', '😀', '❤️'];
/** Maximum number of streams per device. */
const MOST_STREAMS = 4;
const SSE_SHARE = 0.25;
/** Probability that a disconnected stream resumes, instead of a new one starting. */
const RESUMED_SHARE = 0.7;

export async function send(life: Life): Promise<void> {
  const at = someMember(life);
  if (!at) return;
  const { room, session, person, stands } = at;
  const body = sentence(life);
  const data = await life.ask({ session, query: SEND, variables: inputOf({ chatroomId: room.id, body }), stands });
  if (data) remember(room, { id: data.sendMessage.message.id, sender: person });
}

export async function edit(life: Life): Promise<void> {
  const at = someMessage(life, 'own');
  if (!at) return;
  const { session, message, stands } = at;
  const variables = inputOf({ messageId: message.id, body: sentence(life) });
  await life.ask({ session, query: EDIT, variables, stands: [...stands, message] });
}

export async function deleteMessage(life: Life): Promise<void> {
  const at = someMessage(life, 'own');
  if (!at) return;
  const { session, room, message, stands } = at;
  remove(room.messages, message);
  end([message]);
  await life.ask({ session, query: DELETE, variables: inputOf({ messageId: message.id }), stands });
}

export async function react(life: Life): Promise<void> {
  const at = someMessage(life, 'any');
  if (!at) return;
  const { session, message, stands } = at;
  const variables = inputOf({ messageId: message.id, emoji: choose(life.random, EMOJI) });
  await life.ask({ session, query: life.random() < 0.7 ? REACT : TAKE_BACK, variables, stands: [...stands, message] });
}

export async function markRead(life: Life): Promise<void> {
  const at = someMessage(life, 'any');
  if (!at) return;
  const { session, message, stands } = at;
  await life.ask({ session, query: MARK_READ, variables: inputOf({ messageId: message.id }), stands });
}

export async function tellTyping(life: Life): Promise<void> {
  const at = someMember(life);
  if (!at) return;
  const { session, room, stands } = at;
  await life.ask({
    session,
    query: TYPE,
    variables: inputOf({ chatroomId: room.id, typing: life.random() < 0.7 }),
    stands,
  });
}

/** Loads the newest page of a room, or the page before the last loaded one. */
export async function page(life: Life): Promise<void> {
  const at = someMember(life);
  if (!at) return;
  const { session, room, membership, stands } = at;
  const variables = { room: room.id, before: membership.page };
  const data = await life.ask({ session, query: HISTORY, variables, stands });
  const { hasPreviousPage = false, startCursor = null } = data?.chatroom?.messages?.pageInfo ?? {};
  membership.page = hasPreviousPage ? startCursor : null;
}

export async function lookAtMembers(life: Life): Promise<void> {
  const at = someMember(life);
  if (!at) return;
  const { session, room, stands } = at;
  await life.ask({ session, query: MEMBERS, variables: { room: room.id }, stands });
}

export async function lookAtRooms(life: Life): Promise<void> {
  const session = someSession(life);
  if (session) await life.ask({ session, query: ROOMS, stands: [session] });
}

export async function search(life: Life): Promise<void> {
  const session = someSession(life);
  const variables = { query: choose(life.random, WORDS) };
  if (session) await life.ask({ session, query: SEARCH, variables, stands: [session] });
}

export async function befriend(life: Life): Promise<void> {
  const session = someSession(life);
  const other = session && someFriendly(life, session.person);
  if (!other) return;
  const stands = [session, other, life.world.peaceOf(session.person, other)];
  const query = life.random() < 0.6 ? BEFRIEND : UNFRIEND;
  await life.ask({ session, query, variables: inputOf({ userId: other.id }), stands });
}

/** Starts a stream, or resumes one. */
export async function listen(life: Life): Promise<void> {
  const { random, listening } = life;
  const overHttp = random() < SSE_SHARE;
  if (random() < RESUMED_SHARE) {
    const resuming = listening.comeBack(overHttp);
    if (resuming) return resuming;
  }
  const session = someSession(life);
  if (!session || [...listening.streams].filter((stream) => stream.session === session).length >= MOST_STREAMS) return;
  const kind = choose(random, Object.keys(STREAMS) as StreamKind[]);
  const membership = choose(random, session.person.memberships);
  if (kind === undefined || (STREAMS[kind].inRoom && !membership)) return;
  await listening.begin(kind, session, STREAMS[kind].inRoom ? (membership ?? null) : null, overHttp);
}

/** Ends a stream, disconnects a client, or cuts its connection. */
export function goSilent({ random, listening }: Life): Promise<void> {
  // Streams of staying users live until their tokens expire.
  const stream = choose(
    random,
    [...listening.streams].filter(({ session }) => !session.person.stays),
  );
  if (stream && (!stream.socket || random() < 0.5)) listening.hangUpOne(stream);
  else if (stream) listening.disconnect(stream.session, random() < 0.5 ? 'cut' : 'closed');
  return Promise.resolve();
}

function someSession({ world, random }: Life): Session | undefined {
  return choose(random, choose(random, world.people)?.sessions ?? []);
}

/** Returns a user with a room in which they may write. */
function someMember(life: Life) {
  const session = someSession(life);
  const membership = session && choose(life.random, session.person.memberships);
  if (!membership) return null;
  const stands = standsOf(life.world, membership);
  if (!stands.every(lives)) return null;
  const { room, person } = membership;
  return { session, membership, room, person, stands: [session, person, ...stands] };
}

/** Returns a message that a user may read: their own, or any. */
function someMessage(life: Life, whose: 'own' | 'any') {
  const member = someMember(life);
  if (!member) return null;
  const { person, room, stands } = member;
  const message = choose(
    life.random,
    room.messages.filter(({ sender }) => whose === 'any' || sender === person),
  );
  if (!message) return null;
  // Messages of a blocked user are hidden, so the result depends on the absence of a block.
  const peace = message.sender === person ? [] : [life.world.peaceOf(person, message.sender)];
  return peace.every(lives) ? { ...member, message, stands: [...stands, ...peace] } : null;
}

/** Returns a text, mostly a line and sometimes a page. */
function sentence({ random }: Life): string {
  const length = random() < 0.03 ? 500 : 3 + random() ** 3 * 60;
  return Array.from({ length }, () => choose(random, WORDS)).join(' ');
}
