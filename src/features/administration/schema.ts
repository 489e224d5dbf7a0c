import { isAdmin } from '../../auth/admins.ts';
import { listServiceTokens } from '../../auth/serviceTokens.ts';
import type { Finding } from '../../core/findings.ts';
import { keyOf, encodeId } from '../../core/globalIds.ts';
import { builder, connectionArgs, defineConnection } from '../../graphql/builder.ts';
import type { AuditEntry as AuditEntryRow } from '../../platform/database/generated/client.ts';
import { ChatroomKind } from '../chatrooms/schema.ts';
import { Session, User } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import { Webhook } from '../webhooks/schema.ts';
import { listAllWebhooks } from '../webhooks/webhooks.ts';
import { listAuditEntries } from './audit.ts';
import { faultsOf, type Health, readHealth } from './chatroomHealth.ts';
import {
  type AdministeredChatroom,
  type AdministeredUser,
  administeredUserById,
  listActiveSessions,
  listAdministeredChatrooms,
  listAdministeredUsers,
} from './lists.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    /** Checks the settings of this node, the database, Redis and the file store, like the command `doctor`. */
    examine(): Promise<Finding[]>;
  }
}

export const AdminUser = builder.objectRef<AdministeredUser>('AdminUser').implement({
  description: 'A user, with the facts that only admins see.',
  fields: (t) => ({
    id: t.id({ description: 'Id of the user.', resolve: ({ id }) => encodeId('User', id) }),
    user: t.field({ type: User, description: 'Public profile of the user.', resolve: (user) => user }),
    suspendedAt: t.expose('suspendedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time from which nobody can sign in to the account. Null if the account is not suspended.',
    }),
    isAdmin: t.exposeBoolean('isAdmin', { description: 'Whether the user may use the admin API.' }),
    hasPassword: t.exposeBoolean('hasPassword', {
      description: 'Whether the user can sign in with a password. False for users of services and of OpenID providers.',
    }),
    sessions: t.field({
      type: [Session],
      description: 'Active sessions of the user, newest first.',
      resolve: (user, _args, context) => listActiveSessions(context, user.id),
    }),
  }),
});
const { List: AdminUserConnection } = defineConnection(AdminUser, 'AdminUser');

const AdminChatroom = builder.objectRef<AdministeredChatroom>('AdminChatroom').implement({
  description: 'A chatroom, without its content: admins do not read chatrooms that they are not in.',
  fields: (t) => ({
    id: t.id({ description: 'Id of the chatroom.', resolve: ({ id }) => encodeId('Chatroom', id) }),
    kind: t.expose('kind', { type: ChatroomKind, description: 'Kind of the chatroom.' }),
    name: t.exposeString('name', { nullable: true, description: 'Name of the chatroom. Null if it has none.' }),
    externalId: t.exposeString('externalId', {
      nullable: true,
      description: 'Id in the application that created the chatroom through a service. Null for other chatrooms.',
    }),
    owner: t.field({
      type: User,
      nullable: true,
      description: 'Owner of the chatroom. Null for a DIRECT chatroom.',
      resolve: ({ ownerId }, _args, context) => (ownerId === null ? null : userById(context, ownerId)),
    }),
    memberCount: t.exposeInt('memberCount', { description: 'Number of members.' }),
    messageCount: t.exposeInt('messageCount', {
      description: 'Number of messages sent so far, including deleted ones and those of the server.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the chatroom was created.' }),
    lastMessageAt: t.expose('lastMessageAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time of the newest message. Null if there is none.',
    }),
  }),
});
const { List: AdminChatroomConnection } = defineConnection(AdminChatroom, 'AdminChatroom');

const ServiceToken = builder.objectRef<{ name: string; createdAt: Date; scopes: string[] }>('ServiceToken').implement({
  description: 'Token of a service. The token itself is not stored.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Name of the service.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the token was created.' }),
    scopes: t.exposeStringList('scopes', { description: 'Rights of the service.' }),
  }),
});

const AuditEntry = builder.objectRef<AuditEntryRow>('AuditEntry').implement({
  description: 'An action of an admin.',
  fields: (t) => ({
    id: t.exposeID('id', { description: 'Id of the entry.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time of the action.' }),
    actor: t.field({
      type: User,
      nullable: true,
      description: 'Admin who acted. Null if the account has been deleted.',
      resolve: ({ actorId }, _args, context) => (actorId === null ? null : userById(context, actorId)),
    }),
    actorName: t.exposeString('actorName', { description: 'Username of the admin at the time of the action.' }),
    action: t.exposeString('action', { description: 'Name of the mutation, such as `adminSuspendUser`.' }),
    subject: t.exposeString('subject', {
      nullable: true,
      description: 'Username, name of the service, or id of the object that was changed. Null if there is none.',
    }),
    reason: t.exposeString('reason', { description: 'Reason that the admin gave.' }),
  }),
});
const { List: AuditEntryConnection } = defineConnection(AuditEntry, 'AuditEntry');

const FindingLevel = builder.enumType('FindingLevel', {
  description: 'Severity of a finding.',
  values: {
    OK: { value: 'ok', description: 'The check found nothing wrong.' },
    WARNING: { value: 'warning', description: 'The server works, but not as well or as safely as it could.' },
    FAULT: { value: 'fault', description: 'Messages, sessions or delivery are in danger.' },
  } as const,
});

const HealthFinding = builder.objectRef<Finding>('HealthFinding').implement({
  description: 'Result of one check of the server.',
  fields: (t) => ({
    level: t.expose('level', { type: FindingLevel, description: 'Severity of the finding.' }),
    text: t.exposeString('text', { description: 'What was found, and what to do.' }),
  }),
});

const ChatroomHealth = builder.objectRef<Health>('ChatroomHealth').implement({
  description: 'State of the messages and the log of a chatroom.',
  fields: (t) => ({
    messages: t.exposeInt('messages', { description: 'Number of stored messages, including deleted ones.' }),
    deleted: t.exposeInt('deleted', { description: 'Number of deleted messages.' }),
    events: t.exposeInt('events', { description: 'Number of events in the log, from which clients can resume.' }),
    members: t.exposeInt('members', { description: 'Number of members.' }),
    faults: t.stringList({ description: 'Inconsistencies. Empty if there are none.', resolve: faultsOf }),
  }),
});

const Admin = builder.objectRef<object>('Admin').implement({
  description: 'What admins see of the server. Admins do not read chatrooms that they are not in.',
  fields: (t) => ({
    users: t.field({
      type: AdminUserConnection,
      description: 'Users sorted by username.',
      args: {
        search: t.arg.string({
          description: 'Beginning of a username or nickname, or a whole external id. At most 100 characters.',
        }),
        ...connectionArgs(t.arg),
      },
      resolve: (_, { search, ...args }, context) => listAdministeredUsers(context, search ?? null, args),
    }),
    user: t.field({
      type: AdminUser,
      nullable: true,
      description: 'A user by id. Null if there is no such user.',
      args: { id: t.arg.id({ required: true, description: 'Id of the user.' }) },
      resolve: (_, { id }, context) => {
        const key = keyOf('User', id);
        return key === null ? null : administeredUserById(context, key);
      },
    }),
    chatrooms: t.field({
      type: AdminChatroomConnection,
      description: 'Chatrooms of all kinds, newest first.',
      args: {
        search: t.arg.string({
          description: 'Beginning of a name, or a whole external id. At most 100 characters.',
        }),
        ...connectionArgs(t.arg),
      },
      resolve: (_, { search, ...args }, context) => listAdministeredChatrooms(context, search ?? null, args),
    }),
    chatroomHealth: t.field({
      type: ChatroomHealth,
      nullable: true,
      description:
        'Checks the messages and the log of a chatroom for inconsistencies. Reads all of them. Null for an unknown chatroom.',
      args: { id: t.arg.id({ required: true, description: 'Id of the chatroom.' }) },
      resolve: async (_, { id }, { database }) => {
        const key = keyOf('Chatroom', id);
        return key === null ? null : await readHealth(database, key);
      },
    }),
    serviceTokens: t.field({
      type: [ServiceToken],
      description: 'Tokens of services, sorted by name.',
      resolve: (_, _args, { database }) => listServiceTokens(database),
    }),
    webhooks: t.field({
      type: [Webhook],
      description: 'Webhooks of all services, sorted by service and name.',
      resolve: (_, _args, context) => listAllWebhooks(context),
    }),
    auditEntries: t.field({
      type: AuditEntryConnection,
      description: 'Actions of admins through the API, newest first.',
      args: connectionArgs(t.arg),
      resolve: (_, args, context) => listAuditEntries(context, args),
    }),
    health: t.field({
      type: [HealthFinding],
      description:
        'Checks the settings of this node, the database, Redis and the file store, like `npm run admin -- doctor`. Takes a few seconds.',
      resolve: (_, _args, context) => context.examine(),
    }),
  }),
});

builder.queryField('admin', (t) =>
  t.field({
    type: Admin,
    nullable: true,
    description: 'What admins see of the server. Null for everybody else.',
    resolve: async (_, _args, context) => ((await isAdmin(context)) ? {} : null),
  }),
);
