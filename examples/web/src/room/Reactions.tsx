import { useMutation } from '@apollo/client/react';
import { AddReactionDocument, RemoveReactionDocument } from '../../generated/graphql.ts';
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

/** Gives or takes back a reaction. One that is refused simply does not appear. */
export function useReact(id: string): (emoji: string, add: boolean) => void {
  const [addReaction] = useMutation(AddReactionDocument, { onError: () => undefined });
  const [removeReaction] = useMutation(RemoveReactionDocument, { onError: () => undefined });
  return (emoji, add) => void (add ? addReaction : removeReaction)({ variables: { id, emoji } });
}
