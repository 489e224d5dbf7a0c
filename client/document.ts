import { type DocumentNode, parse, print, type ValueNode, valueFromASTUntyped, visit } from 'graphql';

/** An operation: its text, or a document, typed where codegen has typed it. */
export type Document<Data, Variables> =
  string | ((DocumentNode | { toString(): string }) & { __apiType?: (variables: Variables) => Data });

export function textOf(document: Document<unknown, never>): string {
  if (typeof document === 'string') return document;
  return 'kind' in document ? print(document) : document.toString();
}

/** How a subscription to a log says where it is. */
export interface Resumption {
  field: 'messageAdded' | 'chatroomEvents' | 'viewerEvents';
  /** The variable that takes the cursor. */
  after: string;
  /** The variable that takes the room; null over all rooms. */
  room: string | null;
}

/**
 * How a subscription resumes, read off the arguments of its field; null for one that has no cursor.
 *
 * @throws TypeError for one that could resume and does not say how: what came while it was offline would be lost silently
 */
export function resumptionOf(text: string): Resumption | null {
  const [, field, args = ''] =
    /\b(messageAdded|chatroomEvents|viewerEvents)\b\s*(?:\(([^)]*)\))?\s*\{/.exec(text) ?? [];
  if (field !== 'messageAdded' && field !== 'chatroomEvents' && field !== 'viewerEvents') return null;
  const [, after] = /\bafter\s*:\s*\$(\w+)/.exec(args) ?? [];
  const [, room = null] = /\bchatroomId\s*:\s*\$(\w+)/.exec(args) ?? [];
  // Without a cursor the stream gives hints only, as it did before it had one.
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

/** The messages that an operation sends; empty for other operations, and for a document that cannot be read. */
export function sendTargetsOf(text: string, variables: Record<string, unknown>): SendTarget[] {
  if (!text.includes('sendMessage')) return [];
  let document: DocumentNode;
  try {
    document = parse(text, { noLocation: true });
  } catch {
    // The server says what is wrong.
    return [];
  }
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
  return inputs.flatMap((input) => {
    const { chatroomId, clientMessageId } = (valueFromASTUntyped(input, values) ?? {}) as Record<string, unknown>;
    return typeof chatroomId === 'string' ? [{ chatroomId, isNamed: typeof clientMessageId === 'string' }] : [];
  });
}
