import { builder } from '../../graphql/builder.ts';
import { AppEvent } from '../chatroomEvents/appEventSchema.ts';
import { SnapshotReason } from '../chatroomEvents/schema.ts';
import { viewerField } from '../users/schema.ts';
import { type AppSnapshot as Snapshot, followApp } from './appStream.ts';

builder.objectRef<Snapshot>('AppSnapshot').implement({
  description:
    'The viewer’s data in one state of the database, which all selected fields show. `viewer.chatrooms` has the chatrooms. Every change after this state follows as an event, and a few earlier changes may follow again. Sent only by `events` with `snapshot: true`.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'All-rooms cursor: position of this state.' }),
    reason: t.expose('reason', {
      type: SnapshotReason,
      description:
        'Reason why the stream sends this snapshot. Replace all earlier data of the viewer and the chatrooms.',
    }),
    viewer: viewerField(t),
  }),
});

builder.subscriptionField('events', (t) =>
  t.field({
    type: AppEvent,
    nullable: true,
    description:
      'Streams all events of all chatrooms of the viewer, including chatrooms joined later, and all events of `viewerEvents`, with one cursor. A client applies the events to a local store and keeps the last cursor. The events of a chatroom arrive in order. With `after`, first sends every event after the cursor. Right after a resume, events can repeat; an event of a chatroom then has the same `chatroom` and `seq`. When the viewer joins a chatroom, `ChatroomAppeared` comes before the events of that chatroom. When the viewer loses one, its events end with `ChatroomVanished`. Fails with `BAD_USER_INPUT` for an invalid cursor. Fails with `RESYNC_REQUIRED` if the stream cannot resume from the cursor, but not if `snapshot` is true.',
    args: {
      after: t.arg.string({
        description: '`Viewer.cursor`, or the cursor of an event of this stream. By default, only new events are sent.',
      }),
      snapshot: t.arg.boolean({
        required: true,
        defaultValue: false,
        description:
          'Whether the stream sends an `AppSnapshot`: first if there is no `after`, and one with the reason `RESYNC` if the stream cannot resume from `after`, or after a change that has no event: the viewer has blocked or unblocked a user or changed their profile, or a relationship has ended with the account of the other user.',
      }),
    },
    subscribe: (_, { after, snapshot }, context) => followApp(context, after, snapshot),
    resolve: (event) => event as Snapshot,
  }),
);
