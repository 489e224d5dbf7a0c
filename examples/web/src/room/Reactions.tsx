import { useMutation } from '@apollo/client/react';
import { AddReactionDocument, RemoveReactionDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';

/** How many have reacted with what; pressed where the viewer has. */
export function Reactions({ message: { id, reactions } }: { message: Message }) {
  const react = useReact(id);
  if (reactions.length === 0) return null;
  return (
    <ul className="reactions" aria-label="Reactions">
      {reactions.map(({ emoji, count, viewerHasReacted }) => (
        <li key={emoji}>
          <button
            type="button"
            aria-pressed={viewerHasReacted}
            aria-label={`${emoji}, ${count}`}
            onClick={() => react(emoji, !viewerHasReacted)}
          >
            {emoji} {count}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Gives or takes back a reaction. If it is refused, such as the 21st on a message, a toast says why. */
export function useReact(id: string): (emoji: string, add: boolean) => void {
  const { report } = useToasts();
  const onError = (error: unknown) => report(wordError(error));
  const [addReaction] = useMutation(AddReactionDocument, { onError });
  const [removeReaction] = useMutation(RemoveReactionDocument, { onError });
  return (emoji, add) => void (add ? addReaction : removeReaction)({ variables: { id, emoji } });
}
