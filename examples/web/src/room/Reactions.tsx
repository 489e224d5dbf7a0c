import { useQuery } from '@apollo/client/react';
import { useChat } from '@parley/client/react';
import { AddReactionDocument, ReactorsDocument, RemoveReactionDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { nameList } from '../parts/sentences.tsx';
import { Tip } from '../parts/Tip.tsx';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';

/** The reactions of a message with their counts. The viewer's own reactions are shown as pressed. */
export function Reactions({ message: { id, reactions } }: { message: Message }) {
  const react = useReact(id);
  if (reactions.length === 0) return null;
  return (
    <ul className="reactions" aria-label="Reactions">
      {reactions.map(({ emoji, count, viewerHasReacted }) => (
        <li key={emoji}>
          <Tip content={() => <Reactors key={count} id={id} emoji={emoji} />}>
            {(tipId) => (
              <button
                type="button"
                aria-pressed={viewerHasReacted}
                aria-label={`${emoji}, ${count}`}
                aria-describedby={tipId}
                onClick={() => react(emoji, !viewerHasReacted)}
              >
                {emoji} {count}
              </button>
            )}
          </Tip>
        </li>
      ))}
    </ul>
  );
}

/** The users who have reacted. They are loaded when the tip opens, so that messages need no query. */
function Reactors({ id, emoji }: { id: string; emoji: string }) {
  // Not cached, because the result would overwrite the message's reactions with different fields.
  const { data, error } = useQuery(ReactorsDocument, { variables: { id }, fetchPolicy: 'no-cache' });
  const reactions = data?.node?.__typename === 'Message' ? data.node.reactions : [];
  const group = reactions.find((each) => each.emoji === emoji);
  return (
    <span aria-live="polite">
      {group ? nameList(group.users.nodes, group.count) : error ? wordError(error) : 'Loading…'}
    </span>
  );
}

/**
 * Returns a function that adds or removes a reaction. A toast shows an error, for example if the message has too many
 * reactions.
 */
export function useReact(id: string): (emoji: string, add: boolean) => void {
  const { cache } = useChat();
  const { report } = useToasts();
  return (emoji, add) => {
    const variables = { id, emoji };
    const reacting = add
      ? cache.mutate(AddReactionDocument, variables)
      : cache.mutate(RemoveReactionDocument, variables);
    reacting.catch((error: unknown) => report(wordError(error)));
  };
}
