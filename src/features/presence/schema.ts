import { builder } from '../../graphql/builder.ts';
import { requireViewer } from '../../core/context.ts';
import { keyOf } from '../../core/globalIds.ts';
import { PresenceStatus, User } from '../users/schema.ts';
import { followPresence, type Presence as PresenceState, presenceOf, type PresenceChange } from './presence.ts';

const Presence = builder.objectRef<PresenceState>('Presence').implement({
  description: 'Whether a user is online, and when the user was last online.',
  fields: (t) => ({
    status: t.expose('status', { type: PresenceStatus, description: 'Whether the user is online.' }),
    lastSeenAt: t.expose('lastSeenAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'Time at which the last WebSocket of the user closed. Null while the user is online, and for a user who has never been online.',
    }),
  }),
});

builder.objectField(User, 'presence', (t) =>
  t.field({
    type: Presence,
    nullable: true,
    description: 'Presence of the user. Null unless the user is the viewer or a friend of the viewer.',
    resolve: (user, _args, context) => presenceOf(context, user.id),
  }),
);

const PresenceChanged = builder.objectRef<PresenceChange>('PresenceChanged').implement({
  description: 'A friend of the viewer went online or offline.',
  fields: (t) => ({
    user: t.expose('user', { type: User, description: 'The friend.' }),
    presence: t.expose('presence', { type: Presence, description: 'The current presence of the friend.' }),
  }),
});

builder.subscriptionField('presenceChanged', (t) =>
  t.field({
    type: PresenceChanged,
    nullable: true,
    description:
      'Sends an event when a friend of the viewer goes online or offline. A friend who returns within 10 s is not reported as offline. Events can be lost; `User.presence` returns the current state.',
    args: {
      userIds: t.arg.idList({ description: 'Ids of the friends to follow. By default, all friends are followed.' }),
    },
    subscribe: (_, { userIds }, context) => {
      requireViewer(context);
      return followPresence(
        context,
        userIds?.map((id) => keyOf('User', id)),
      );
    },
    resolve: (change) => change,
  }),
);
