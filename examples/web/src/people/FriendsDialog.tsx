import { skipToken, useQuery } from '@apollo/client/react';
import { useDeferredValue, useState } from 'react';
import { FindPeopleDocument, FriendsDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useSession } from '../session.ts';
import type { Friend } from '../types.ts';
import { FriendRequests } from './FriendRequests.tsx';
import { PersonRow } from './PersonRow.tsx';

/** The viewer's friends, friend requests and blocked users. Finds other people by the beginning of a name. */
export function FriendsDialog({ onClose }: { onClose: () => void }) {
  const { viewerId } = useSession();
  const [text, setText] = useState('');
  const search = useDeferredValue(text.trim());
  const { data, error } = useQuery(FriendsDocument, { fetchPolicy: 'cache-and-network' });
  const found = useQuery(FindPeopleDocument, search === '' ? skipToken : { variables: { search } });
  const people = (edges: readonly { node: Friend }[] | undefined) => (edges ?? []).map(({ node }) => node);
  const viewer = data?.viewer;
  const failure = error ?? found.error;
  return (
    <Dialog title="Friends" onClose={onClose}>
      <Field
        label="Search people by name"
        role="searchbox"
        enterKeyHint="search"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <Problem text={failure && wordError(failure)} />
      {search !== '' ? (
        <People
          heading="Found"
          people={people(found.data?.users?.edges).filter(({ id }) => id !== viewerId)}
          nobody={found.loading ? 'Searching…' : 'No people found. Search by the beginning of a name.'}
          onClose={onClose}
        />
      ) : (
        <>
          <FriendRequests requests={viewer?.friendRequests.edges.map(({ node }) => node) ?? []} />
          <People
            heading="Friends"
            people={people(viewer?.friends.edges)}
            nobody={viewer ? 'No friends yet. Search for people by name.' : 'Loading…'}
            onClose={onClose}
          />
          <People heading="Blocked" people={people(viewer?.blockedUsers.edges)} onClose={onClose} />
        </>
      )}
    </Dialog>
  );
}

interface PeopleProps {
  heading: string;
  people: readonly Friend[];
  nobody?: string;
  onClose: () => void;
}

function People({ heading, people, nobody, onClose }: PeopleProps) {
  if (people.length === 0 && !nobody) return null;
  return (
    <section>
      <h3>{heading}</h3>
      {people.length === 0 && <p className="quiet">{nobody}</p>}
      <ul className="people">
        {people.map((person) => (
          <PersonRow key={person.id} person={person} onOpened={onClose} />
        ))}
      </ul>
    </section>
  );
}
