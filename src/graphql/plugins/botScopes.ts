import {
  type DocumentNode,
  type ExecutionArgs,
  type FragmentDefinitionNode,
  getNamedType,
  getOperationAST,
  type GraphQLSchema,
  isInterfaceType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { BotScope } from '../../core/botScopes.ts';
import type { Bot, Operation } from '../../core/context.ts';
import { ChatError } from '../../core/errors.ts';
import type { ErrorMask } from './errorMask.ts';

/** Mutations that bots may call, and the scope that each needs. Bots may call no other mutation. */
export const BOT_MUTATIONS: Readonly<Record<string, BotScope>> = {
  sendMessage: 'messages:write',
  editMessage: 'messages:write',
  deleteMessage: 'messages:write',
  removeLinkPreview: 'messages:write',
  createUpload: 'messages:write',
  completeUpload: 'messages:write',
  deleteUpload: 'messages:write',
  setTyping: 'messages:write',
  markRead: 'messages:read',
  markRoomsRead: 'messages:read',
  markUnread: 'messages:read',
  addReaction: 'reactions:write',
  removeReaction: 'reactions:write',
  joinChatroom: 'rooms:join',
  leaveChatroom: 'rooms:join',
};

/** Mutations that return only messages of the bot itself. */
const RETURNS_OWN_MESSAGE = new Set(['sendMessage', 'editMessage', 'deleteMessage', 'removeLinkPreview']);

/**
 * Fields that a bot may select without `messages:read`. For all other fields of these types, a bot needs that scope, as for
 * all subscriptions. `OwnMessage` is a message that the bot has sent.
 */
const UNSCOPED: Readonly<Record<string, ReadonlySet<string> | 'all'>> = {
  Query: new Set(['viewer', 'server']),
  Viewer: new Set(['id', 'user']),
  Chatroom: new Set(['id', 'kind', 'name']),
  Message: new Set(['id', 'number']),
  OwnMessage: 'all',
};

const REFUSED = 'refused';

/** Needs of an operation: scopes, or the name of a mutation that no bot may call. */
type Needs = ReadonlySet<BotScope> | { [REFUSED]: string };

/**
 * Refuses operations of bots that their scopes do not allow. Decided from the document before anything is executed, so that
 * the operations of people cost nothing more.
 */
export function limitBots(schema: GraphQLSchema, mask: ErrorMask): Plugin {
  const known = new WeakMap<OperationDefinitionNode, Needs>();

  function needsOf({ document, operationName }: ExecutionArgs): Needs {
    const operation = getOperationAST(document, operationName);
    if (!operation) return new Set();
    const needs = known.get(operation) ?? findNeeds(schema, document, operation);
    known.set(operation, needs);
    return needs;
  }

  function refusalOf(args: ExecutionArgs): readonly ReturnType<ErrorMask>[] {
    const bot = (args.contextValue as Operation).viewer?.bot;
    if (!bot) return [];
    try {
      requireNeeds(bot, needsOf(args));
      return [];
    } catch (error) {
      return [mask(error)];
    }
  }

  return {
    onExecute({ args, setResultAndStopExecution }) {
      const errors = refusalOf(args);
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const errors = refusalOf(args);
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
  };
}

function requireNeeds(bot: Bot, needs: Needs): void {
  if (REFUSED in needs)
    throw new ChatError('FORBIDDEN', `A bot cannot call ${needs[REFUSED]}. Call it as a person, such as the owner.`);
  for (const scope of needs) requireBotScope(bot, scope);
}

/**
 * Checks that a bot has a scope.
 *
 * @throws ChatError `FORBIDDEN`
 */
export function requireBotScope({ scopes }: Bot, scope: BotScope): void {
  if (scopes.includes(scope)) return;
  throw new ChatError('FORBIDDEN', `The bot lacks the scope ${scope}. Create a bot with this scope.`);
}

function findNeeds(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): Needs {
  const root = schema.getRootType(operation.operation);
  if (!root) return new Set();
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  const needs = new Set<BotScope>();
  /** Fragments and whether they were walked for own messages. Otherwise nested fragments could take exponential time. */
  const walked = new Set<string>();
  const refused: string[] = [];

  function walk(typeName: string, { selections }: SelectionSetNode, isOwn: boolean): void {
    const type = schema.getType(typeName);
    for (const selection of selections) {
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        walk(selection.typeCondition?.name.value ?? typeName, selection.selectionSet, isOwn);
      } else if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = fragments.get(selection.name.value);
        const key = `${selection.name.value} ${String(isOwn)}`;
        if (!fragment || walked.has(key)) continue;
        walked.add(key);
        walk(fragment.typeCondition.name.value, fragment.selectionSet, isOwn);
      } else {
        const name = selection.name.value;
        if (name.startsWith('__')) continue;
        addNeeds(typeName, name, isOwn);
        const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined;
        const isPayload = typeName !== 'Message' && typeName !== 'Chatroom';
        const ownsResult = typeName === 'Mutation' ? RETURNS_OWN_MESSAGE.has(name) : isOwn && isPayload;
        if (field && selection.selectionSet) walk(getNamedType(field.type).name, selection.selectionSet, ownsResult);
      }
    }
  }

  function addNeeds(typeName: string, field: string, isOwn: boolean): void {
    if (typeName === 'Mutation') {
      const scope = BOT_MUTATIONS[field];
      if (scope) needs.add(scope);
      else refused.push(field);
      return;
    }
    const unscoped = UNSCOPED[isOwn && typeName === 'Message' ? 'OwnMessage' : typeName];
    const isFree = typeName !== 'Subscription' && (unscoped === undefined || unscoped === 'all' || unscoped.has(field));
    if (!isFree) needs.add('messages:read');
  }

  walk(root.name, operation.selectionSet, false);
  return refused[0] === undefined ? needs : { [REFUSED]: refused[0] };
}
