import { useApolloClient, useQuery } from '@apollo/client/react';
import { useDeferredValue, useState } from 'react';
import { FindRoomsDocument, JoinRoomDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Avatar } from '../parts/Avatar.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { openRoom } from '../route.ts';
import { wordMembers } from '../words.ts';

/** Finds open rooms, to open or join them. */
export function FindRoomsDialog({ onClose }: { onClose: () => void }) {
  const apollo = useApolloClient();
  const [text, setText] = useState('');
  const search = useDeferredValue(text.trim());
  const { data, error, loading } = useQuery(FindRoomsDocument, {
    variables: { search: search || null },
    fetchPolicy: 'network-only',
  });
  const enter = useAction(async (id: string, member: boolean) => {
    if (!member) await apollo.mutate({ mutation: JoinRoomDocument, variables: { id } });
    openRoom(id);
    onClose();
  });
  const rooms = data?.openChatrooms?.edges.map(({ node }) => node) ?? [];
  return (
    <Dialog title="Find rooms" onClose={onClose}>
      <Field
        label="Search rooms by name"
        role="searchbox"
        enterKeyHint="search"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <Problem text={enter.problem ?? (error && wordError(error))} />
      <ul className="people">
        {rooms.map(({ id, name, topic, memberCount, avatar, viewerMembership }) => (
          <li key={id}>
            <Avatar name={name ?? '?'} seed={id} image={avatar} />
            <span className="person">
              <strong dir="auto">{name}</strong>
              <small className="quiet" dir="auto">
                {topic ?? wordMembers(memberCount)}
              </small>
            </span>
            <button
              type="button"
              aria-disabled={enter.busy}
              onClick={() => void enter.run(id, viewerMembership != null)}
            >
              {viewerMembership ? 'Open' : 'Join'}
            </button>
          </li>
        ))}
      </ul>
      {rooms.length === 0 && !loading && <p className="quiet">No rooms found. Search by the beginning of a name.</p>}
    </Dialog>
  );
}
