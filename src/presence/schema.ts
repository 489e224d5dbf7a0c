import { builder } from '../builder.ts';
import { requireViewer } from '../context.ts';
import { keyOf } from '../ids.ts';
import { User } from '../users/schema.ts';
import { followPresence, type Presence as PresenceState, presenceOf, type PresenceChange } from './presence.ts';

export const PresenceStatus = builder.enumType('PresenceStatus', {
  description: 'Whether a user is there.',
  values: {
    ONLINE: { description: 'At least one of their devices has a live socket.' },
    OFFLINE: { description: 'None of their devices has.' },
  } as const,
});

const Presence = builder.objectRef<PresenceState>('Presence').implement({
  description: 'Whether a user is there, and since when not.',
  fields: (t) => ({
    status: t.expose('status', { type: PresenceStatus, description: 'Whether they are there.' }),
    lastSeenAt: t.expose('lastSeenAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When their last socket closed; null while they are there, and for who has never been.',
    }),
  }),
});

builder.objectField(User, 'presence', (t) =>
  t.field({
    type: Presence,
    nullable: true,
    description: 'Null where the viewer may not see it: strangers, and both sides of a block.',
    resolve: (user, _args, context) => presenceOf(context, user.id),
  }),
);

const PresenceChanged = builder.objectRef<PresenceChange>('PresenceChanged').implement({
  description: 'A friend has come or gone.',
  fields: (t) => ({
    user: t.expose('user', { type: User, description: 'Who.' }),
    presence: t.expose('presence', { type: Presence, description: 'Whether they are there now.' }),
  }),
});

builder.subscriptionField('presenceChanged', (t) =>
  t.field({
    type: PresenceChanged,
    nullable: true,
    description:
      'The comings and goings of the viewer’s friends, or of those of them that are named. A hint: `User.presence` is the truth. Who is back within 10 s was never gone.',
    args: { userIds: t.arg.idList({ description: 'Friends; all of them if left out.' }) },
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
