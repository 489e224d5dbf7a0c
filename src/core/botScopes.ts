/** Scopes of bots, and the rights that each gives. A bot may do what both its scopes and its owner may do. */
export const botScopes = {
  'messages:read': 'read chatrooms and their messages, receive events, and mark messages as read',
  'messages:write': 'send messages and files, and edit and delete own messages',
  'reactions:write': 'add and remove own reactions',
  'rooms:join': 'join OPEN chatrooms that the owner is a member of, and leave chatrooms',
} as const;

export type BotScope = keyof typeof botScopes;

/** Names of all scopes of bots. */
export const botScopeNames = Object.keys(botScopes) as BotScope[];

export function isBotScope(name: string): name is BotScope {
  return Object.hasOwn(botScopes, name);
}
