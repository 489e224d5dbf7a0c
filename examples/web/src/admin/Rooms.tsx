import { useApolloClient, useQuery } from '@apollo/client/react';
import { useState } from 'react';
import { type AdminRoomHealthQuery, AdminRoomHealthDocument, AdminRoomsDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { wordMembers, wordWhen } from '../words.ts';
import { appendTo } from './appendTo.ts';
import { MoreButton } from './MoreButton.tsx';
import { SearchField } from './SearchField.tsx';

type Health = NonNullable<AdminRoomHealthQuery['admin']>['chatroomHealth'];

/** All rooms, without their content. */
export function Rooms() {
  const apollo = useApolloClient();
  const [search, setSearch] = useState('');
  const [health, setHealth] = useState<{ id: string; health: Health } | null>(null);
  const { data, error, loading, fetchMore } = useQuery(AdminRoomsDocument, {
    variables: { search: search || null },
    fetchPolicy: 'no-cache',
  });
  const check = useAction(async (id: string) => {
    const { data: checked } = await apollo.query({
      query: AdminRoomHealthDocument,
      variables: { id },
      fetchPolicy: 'no-cache',
    });
    setHealth({ id, health: checked?.admin?.chatroomHealth ?? null });
  });
  const page = data?.admin?.chatrooms;
  return (
    <>
      <SearchField label="Find rooms" hint="Beginning of a name, or a whole external id." onSearch={setSearch} />
      <Problem text={check.problem ?? (error && wordError(error))} />
      {loading && !page && <p role="status">Loading…</p>}
      <ul className="people admin-list">
        {page?.nodes.map((room) => (
          <li key={room.id}>
            <span className="person">
              <strong>
                <bdi>{room.name ?? 'A room without a name'}</bdi>
              </strong>
              <small className="quiet">
                {[
                  room.kind,
                  wordMembers(room.memberCount),
                  `${room.messageCount.toLocaleString('en')} messages`,
                  room.owner && `owner @${room.owner.username}`,
                  room.externalId && `external id ${room.externalId}`,
                  room.lastMessageAt && `last message ${wordWhen(room.lastMessageAt)}`,
                ]
                  .filter(Boolean)
                  .join(' · ')}
              </small>
            </span>
            <span className="person-actions">
              <button type="button" aria-disabled={check.busy} onClick={() => void check.run(room.id)}>
                Check
              </button>
            </span>
            {health?.id === room.id && health.health && (
              <p role="status" className="quiet">
                {health.health.faults.length === 0
                  ? `No inconsistencies in ${health.health.messages.toLocaleString('en')} messages and ${health.health.events.toLocaleString('en')} events.`
                  : health.health.faults.join('; ')}
              </p>
            )}
          </li>
        ))}
      </ul>
      {page?.nodes.length === 0 && <p>No room was found.</p>}
      <MoreButton
        pageInfo={page?.pageInfo}
        load={(after) => fetchMore({ variables: { after }, updateQuery: appendTo('chatrooms') })}
      />
    </>
  );
}
