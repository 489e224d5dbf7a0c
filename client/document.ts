import { type DocumentNode, print, type ValueNode, valueFromASTUntyped, visit } from 'graphql';

/** An operation as text or as a parsed document. Documents from codegen have types for the data and the variables. */
export type Document<Data, Variables> =
  | string
  | ((DocumentNode | { toString(): string }) & { __apiType?: (variables: Variables) => Data });

export function textOf(document: Document<unknown, never>): string {
  if (typeof document === 'string') return document;
  return 'kind' in document ? print(document) : document.toString();
}

/** Field of a subscription that can resume, and the names of its variables. */
export interface Resumption {
  field: 'messageAdded' | 'chatroomEvents' | 'viewerEvents' | 'events';
  /** Name of the variable for the cursor. */
  after: string;
  /** Name of the variable for the room's id; null for a subscription to all rooms. */
  room: string | null;
  /** Whether the stream can begin with a snapshot, and sends another one if it cannot resume. */
  snapshot: boolean;
}

/**
 * Returns the `Resumption` of a subscription, or null if the subscription cannot resume.
 *
 * @throws TypeError if `messageAdded`, `chatroomEvents` or `events` has no variable for the cursor, because the stream would
 *   silently lose events while offline
 * @throws TypeError if the subscription does not pass the room as a variable
 */
export function resumptionOf(text: string): Resumption | null {
  const [, field, args = ''] =
    /\b(messageAdded|chatroomEvents|viewerEvents|events)\b\s*(?:\(([^)]*)\))?\s*\{/.exec(text) ?? [];
  if (!isResumable(field)) return null;
  const [, after] = /\bafter\s*:\s*\$(\w+)/.exec(args) ?? [];
  const [, room = null] = /\bchatroomId\s*:\s*\$(\w+)/.exec(args) ?? [];
  // A stream of the viewer's events without a cursor does not resume. With `snapshot: true`, it begins with a new
  // snapshot instead.
  if (!after && field === 'viewerEvents') return null;
  if (!after)
    throw new TypeError(
      `Declare $after: String and pass it on, ${field}(after: $after), so that the stream can resume.`,
    );
  if (!room && args.includes('chatroomId'))
    throw new TypeError(`Pass the room as a variable: ${field}(chatroomId: $chatroomId, after: $after).`);
  return { field, after, room, snapshot: /\bsnapshot\s*:\s*(?:true|\$)/.test(args) };
}

/** Returns whether the first result of a subscription is a snapshot, because it passes `snapshot: true` and no cursor. */
export function beginsWithSnapshot(document: Document<unknown, never>, variables: Record<string, unknown>): boolean {
  const text = textOf(document);
  const [, after] = /\bafter\s*:\s*\$(\w+)/.exec(text) ?? [];
  return /\bsnapshot\s*:\s*true\b/.test(text) && (after === undefined || variables[after] == null);
}

function isResumable(field: string | undefined): field is Resumption['field'] {
  return field !== undefined;
}

/** A message that an operation sends. */
export interface SendTarget {
  chatroomId: string;
  /** Whether the message has a `clientMessageId`, which makes a retry safe. */
  isNamed: boolean;
}

/**
 * Returns the messages that an operation sends, or an empty array. If the document is a text, only
 * `sendMessage(input: $variable)` is recognised. A full parser would increase the size of the client by half.
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
