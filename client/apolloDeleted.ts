import type { FieldFunctionOptions, FieldPolicy } from '@apollo/client';

const NONE: readonly never[] = [];

function isDeleted({ readField }: Pick<FieldFunctionOptions, 'readField'>): boolean {
  return readField('deletedAt') != null;
}

/**
 * Policies of those fields of a message that a deletion clears.
 *
 * A deletion is final. The server may have read the data of one stream before a deletion that another stream has already
 * reported. Such data, or a late response, must not show the message again.
 */
export const deletedFields = {
  deletedAt: { merge: (known: string | null | undefined, incoming: string | null) => known ?? incoming },
  body: { read: (body: unknown, options) => (isDeleted(options) ? null : body) },
  reactions: { read: cleared },
  attachments: { read: cleared },
  linkPreviews: { read: cleared },
} satisfies Record<string, FieldPolicy>;

function cleared(list: unknown, options: FieldFunctionOptions) {
  return isDeleted(options) ? NONE : list;
}
