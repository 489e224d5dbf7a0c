import { skipToken, useQuery } from '@apollo/client/react';
import { useDeferredValue, useState } from 'react';
import { FindPeopleDocument, FriendsDocument } from '../../generated/graphql.ts';
import { Field } from '../parts/Field.tsx';
import { useSession } from '../session.ts';
import type { Friend } from '../types.ts';
import { nameOf } from '../words.ts';

interface Props {
  label: string;
  chosen: readonly Friend[];
  onChange: (chosen: readonly Friend[]) => void;
}

/** Chooses people. Lists friends, or everyone whose name begins with the search text. */
export function PeoplePicker({ label, chosen, onChange }: Props) {
  const { viewerId } = useSession();
  const [text, setText] = useState('');
  const search = useDeferredValue(text.trim());
  const friends = useQuery(FriendsDocument, search === '' ? {} : skipToken);
  const found = useQuery(FindPeopleDocument, search === '' ? skipToken : { variables: { search } });
  const edges = (search === '' ? friends.data?.viewer?.friends.edges : found.data?.users?.edges) ?? [];
  const ids = new Set(chosen.map(({ id }) => id));
  const shown = [...chosen, ...edges.map(({ node }) => node).filter(({ id }) => !ids.has(id) && id !== viewerId)];
  return (
    <fieldset className="picker">
      <legend>{label}</legend>
      <Field
        label="Search people by name"
        role="searchbox"
        enterKeyHint="search"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="picker-list">
        {shown.map((person) => (
          <label key={person.id} className="check">
            <input
              type="checkbox"
              checked={ids.has(person.id)}
              onChange={(event) =>
                onChange(event.target.checked ? [...chosen, person] : chosen.filter(({ id }) => id !== person.id))
              }
            />
            <bdi>{nameOf(person)}</bdi> <span className="quiet">@{person.username}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
