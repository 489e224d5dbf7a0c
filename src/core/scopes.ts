/** Scopes of service tokens, and the rights that each gives. A service may do what its scopes say and nothing else. */
export const scopes = {
  'users:write': 'create, change, deactivate and delete users',
  'users:token': 'create and revoke access tokens of users',
  'rooms:write': 'create chatrooms, and add and remove their members',
  'messages:write': 'send messages on behalf of users, and system messages',
  'messages:read': 'read chatrooms and their messages',
  'webhooks:write': 'create and manage webhooks, which receive the events of all chatrooms',
  'moderation:write': 'delete the messages of users',
  'notices:write': 'send system messages only; the scope of a token that is created without scopes',
} as const;

export type Scope = keyof typeof scopes;

/** Scopes with which a service reads the messages of any room, by itself, as a user, or in a webhook. */
export const readingScopes: readonly Scope[] = ['messages:read', 'users:token', 'webhooks:write'];

/** Names of all scopes. */
export const scopeNames = Object.keys(scopes) as Scope[];
