import { type DocumentNode, print, type ValueNode, valueFromASTUntyped, visit } from 'graphql';

/** An operation as text or as a document. Documents written by codegen type the data and the variables. */
export type Document<Data, Variables> =
  string | ((DocumentNode | { toString(): string }) & { __apiType?: (variables: Variables) => Data });

export function textOf(document: Document<unknown, never>): string {
  if (typeof document === 'string') return document;
  return 'kind' in document ? print(document) : document.toString();
}

/** Field and variables with which a subscription resumes after its last event. */
export interface Resumption {
  field: 'messageAdded' | 'chatroomEvents' | 'viewerEvents';
  /** Name of the variable for the cursor. */
  after: string;
  /** Name of the variable for the room's id; null for a subscription to all rooms. */
  room: string | null;
}

/**
 * Finds the variables with which a subscription resumes. Returns null for a subscription without a cursor.
 *
 * @throws TypeError if the subscription could resume but passes no cursor: events would be lost silently while offline
 */
export function resumptionOf(text: string): Resumption | null {
  const [, field, args = ''] =
    /\b(messageAdded|chatroomEvents|viewerEvents)\b\s*(?:\(([^)]*)\))?\s*\{/.exec(text) ?? [];
  if (field !== 'messageAdded' && field !== 'chatroomEvents' && field !== 'viewerEvents') return null;
  const [, after] = /\bafter\s*:\s*\$(\w+)/.exec(args) ?? [];
  const [, room = null] = /\bchatroomId\s*:\s*\$(\w+)/.exec(args) ?? [];
  // `viewerEvents` without a cursor is a stream of hints. Clients that predate the cursor use it this way.
  if (!after && field === 'viewerEvents') return null;
  if (!after)
    throw new TypeError(
      `Declare $after: String and pass it on, ${field}(after: $after), so that the stream can resume.`,
    );
  if (!room && args.includes('chatroomId'))
    throw new TypeError(`Pass the room as a variable: ${field}(chatroomId: $chatroomId, after: $after).`);
  return { field, after, room };
}

/** A message that an operation sends. */
export interface SendTarget {
  chatroomId: string;
  /** Whether the message has a `clientMessageId`, so that it may be sent again. */
  isNamed: boolean;
}

/**
 * Returns the messages that an operation sends; empty for other operations. In a text, only `sendMessage(input: $variable)` is
 * recognised, because graphql's parser would increase the size of the client by half.
 */
export function sendTargetsOf(document: Document<unknown, never>, variables: Record<string, unknown>): SendTarget[] {
  const isParsed = typeof document === 'object' && 'kind' in document;
  const inputs = isParsed ? parsedInputs(document, variables) : textInputs(document.toString(), variables);
  return inputs.flatMap((input) => {
    const { chatroomId, clientMessageId } = (input ?? {}) as Record<string, unknown>;
    return typeof chatroomId === 'string' ? [{ chatroomId, isNamed: typeof clientMessageId === 'string' }] : [];
  });
}

function textInputs(text: string, variables: Record<string, unknown>): unknown[] {
  const fields = text.matchAll(/\bsendMessage\s*\(\s*input\s*:\s*\$(\w+)/g);
  return [...fields].map(([, name = '']) => variables[name]);
}

function parsedInputs(document: DocumentNode, variables: Record<string, unknown>): unknown[] {
  const values = { ...variables };
  const inputs: ValueNode[] = [];
  visit(document, {
    VariableDefinition({ variable, defaultValue }) {
      if (defaultValue) values[variable.name.value] ??= valueFromASTUntyped(defaultValue);
    },
    Field({ name, arguments: args }) {
      const input = name.value === 'sendMessage' && args?.find((arg) => arg.name.value === 'input');
      if (input) inputs.push(input.value);
    },
  });
  return inputs.map((input) => valueFromASTUntyped(input, values));
}
