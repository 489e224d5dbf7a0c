import { useApolloClient } from '@apollo/client/react';
import { UnblockUserDocument } from '../../generated/graphql.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import type { Person } from '../types.ts';
import { nameOf } from '../words.ts';

/** Replaces the composer in a direct room with a user whom the viewer has blocked. */
export function Blocked({ person }: { person: Person }) {
  const apollo = useApolloClient();
  const unblock = useAction(() => apollo.mutate({ mutation: UnblockUserDocument, variables: { id: person.id } }));
  return (
    <div className="notice">
      You have blocked <bdi>{nameOf(person)}</bdi>.
      <button type="button" className="link" aria-disabled={unblock.busy} onClick={() => void unblock.run()}>
        Unblock
      </button>
      <Problem text={unblock.problem} />
    </div>
  );
}
