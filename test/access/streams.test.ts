import { describe, expect, test } from 'vitest';
import { connect } from '../support/client.ts';
import { codeOf, fieldsOf, outcomeFor } from '../support/operations.ts';
import {
  DELETE_ROOM,
  LEAVE,
  MARK_READ,
  REMOVE,
  removedWorld,
  type RemovedWorld,
  SET_TYPING,
} from '../support/rooms.ts';
import { SEND, send } from '../support/world.ts';

describe('streams of a room', () => {
  /** Streams of a room: the selection, and a function that causes an event for ben. */
  const streams: Record<string, { select: string; cause: (w: RemovedWorld) => Promise<unknown> }> = {
    messageAdded: { select: 'message { number }', cause: ({ ann, lost }) => send(ann, lost.id, 'live') },
    chatroomEvents: { select: '__typename', cause: ({ ann, lost }) => send(ann, lost.id, 'live') },
    messageSeen: {
      select: 'message { number }',
      async cause({ ann, ben, lost }) {
        await ann.ask(MARK_READ, await send(ben, lost.id, 'live'));
      },
    },
    readMarksChanged: {
      select: 'members { id }',
      async cause({ ann, ben, lost }) {
        await ann.ask(MARK_READ, await send(ben, lost.id, 'live'));
      },
    },
    typingChanged: { select: 'typing', cause: ({ ann, lost }) => ann.ask(SET_TYPING, lost) },
  };
  const names = fieldsOf('Subscription')
    .filter((field) => field.args.some((arg) => arg.name === 'chatroomId'))
    .map((field) => field.name);
  const streamOf = (name: string) =>
    `subscription ($id: ID!) { ${name}(chatroomId: $id) { ${streams[name]?.select ?? ''} } }`;

  test('every stream of a room has a row', () => {
    expect(names.sort()).toEqual(Object.keys(streams).sort());
  });

  /** Opens an SSE stream. The promise `events` resolves to all its events when the stream has ended. */
  async function openSse(url: string, query: string, variables: object, token?: string) {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query, variables }),
    });
    const read = async () =>
      [...(await response.text()).matchAll(/event: (\w+)\n(?:data:(.*)\n)?/g)].map(([, event = '', data = '']) => ({
        event,
        result: data.trim() === '' ? null : JSON.parse(data),
      }));
    return { events: read() };
  }

  test.each(names)('%s is refused to non-members and ends for a removed member', async (name) => {
    const w = await removedWorld();
    const { server, ann, ben, cem, eve, lost } = w;
    const query = streamOf(name);
    const opened = [ben, ben.at(server.url)].map((person) => person.connect().subscribe(query, lost));
    const sse = await openSse(server.url, query, lost, ben.accessToken);
    await expect.poll(() => server.node.gauges.streams).toBe(3);
    // Precondition: a member receives events.
    await streams[name]?.cause(w);
    for (const stream of opened) await stream.next();

    for (const person of [eve, cem]) {
      expect(codeOf(await person.connect().subscribe(query, lost).ended)).toBe('NOT_FOUND');
      const { events } = await openSse(server.url, query, lost, person.accessToken);
      expect((await events).map(({ event, result }) => [event, codeOf(result?.errors)])).toEqual([
        ['next', 'NOT_FOUND'],
        ['complete', undefined],
      ]);
      // A room that does not exist fails with the same code.
      expect(codeOf(await person.connect().subscribe(query, { id: 'junk' }).ended)).toBe('NOT_FOUND');
    }
    expect(codeOf(await connect(server.url).subscribe(query, lost).ended)).toBe('UNAUTHENTICATED');
    const { events: signedOut } = await openSse(server.url, query, lost);
    expect((await signedOut).map(({ result }) => codeOf(result?.errors))).toEqual(['UNAUTHENTICATED', undefined]);

    await ann.ask(REMOVE, { id: lost.id, user: ben.id });
    await streams[name]?.cause({ ...w, ben: ann });
    for (const stream of opened) {
      expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
      expect(JSON.stringify(stream.received.slice(1))).not.toContain('live');
    }
    const outcomes = (await sse.events).map(({ event, result }) => [event, codeOf(result?.errors)]);
    expect(outcomes.slice(-2)).toEqual([
      ['next', 'NOT_FOUND'],
      ['complete', undefined],
    ]);
    expect(outcomes.slice(0, -2).every(([event, code]) => event === 'next' && code === undefined)).toBe(true);
  });

  test.each([
    ['being removed', (w: RemovedWorld) => w.ann.ask(REMOVE, { id: w.lost.id, user: w.ben.id })],
    ['leaving', (w: RemovedWorld) => w.ben.ask(LEAVE, w.lost)],
    ['the deletion of the room', (w: RemovedWorld) => w.ann.ask(DELETE_ROOM, w.lost)],
  ])('after %s, all-rooms streams continue without the room', async (_, lose) => {
    const w = await removedWorld();
    const { ben, ann, kept, lost } = w;
    const connection = ben.connect();
    const messages = connection.subscribe('subscription { messageAdded { chatroom { id } message { body } } }');
    const seen = connection.subscribe('subscription { messageSeen { message { body } } }');
    const events = connection.subscribe(
      'subscription { viewerEvents { __typename ... on ChatroomVanished { chatroomId } } }',
    );
    await events.ready();
    await send(ann, lost.id, 'before');
    expect(await messages.next()).toEqual({ chatroom: { id: lost.id }, message: { body: 'before' } });
    expect((await events.next()).__typename).toBe('UnreadChanged');
    await lose(w);
    expect(await events.next()).toEqual({ __typename: 'ChatroomVanished', chatroomId: lost.id });
    await outcomeFor(ann, SEND, { input: { chatroomId: lost.id, body: 'after' } });
    const { id } = await send(ben, kept.id, 'elsewhere');
    for (const person of [ann, w.cem]) await person.ask(MARK_READ, { id });
    expect((await messages.next()).message.body).toBe('elsewhere');
    expect(await seen.next()).toEqual({ message: { body: 'elsewhere' } });
  });
});
