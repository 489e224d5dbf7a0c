import { skipToken, useQuery } from '@apollo/client/react';
import { useDeferredValue, useState } from 'react';
import { SearchAllDocument, SearchRoomDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Avatar } from '../parts/Avatar.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { Problem } from '../parts/Problem.tsx';
import { hrefOf, reopen } from '../route.ts';
import { nameOf, titleOf, wordDay, wordTime } from '../words.ts';

/** Searches the messages of one room, or of all the viewer's rooms. */
export function SearchDialog({ roomId, onClose }: { roomId?: string; onClose: () => void }) {
  const [text, setText] = useState('');
  const query = useDeferredValue(text.trim());
  const nothing = query === '';
  const all = useQuery(SearchAllDocument, nothing || roomId !== undefined ? skipToken : { variables: { query } });
  const one = useQuery(
    SearchRoomDocument,
    nothing || roomId === undefined ? skipToken : { variables: { query, id: roomId } },
  );
  const found = [
    ...(one.data?.chatroom?.searchMessages?.edges ?? []).map(({ node }) => ({ ...node, chatroom: null })),
    ...(all.data?.viewer?.searchMessages.edges ?? []).map(({ node }) => node),
  ];
  const error = one.error ?? all.error;
  const loading = one.loading || all.loading;
  return (
    <Dialog title={roomId === undefined ? 'Search all rooms' : 'Search this room'} onClose={onClose}>
      <Field
        label="Search messages"
        hint="Finds words by their beginning, such as “tom” in “tomatoes”."
        role="searchbox"
        enterKeyHint="search"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <Problem text={error && wordError(error)} />
      <p className="quiet" role="status">
        {query === ''
          ? ''
          : loading
            ? 'Searching…'
            : found.length === 0
              ? 'No messages found.'
              : `${found.length} found`}
      </p>
      <ul className="people found">
        {found.map(({ id, number, body, createdAt, sender, chatroom }) => (
          <li key={id}>
            <Avatar name={nameOf(sender)} seed={sender?.username ?? ''} image={sender?.avatar} />
            <a
              className="person"
              href={hrefOf(chatroom?.id ?? roomId ?? '', number)}
              onClick={({ currentTarget }) => {
                onClose();
                reopen(currentTarget.hash);
              }}
            >
              <small className="quiet">
                <bdi>{nameOf(sender)}</bdi>
                {chatroom && (
                  <>
                    {' in '}
                    <bdi>{titleOf(chatroom)}</bdi>
                  </>
                )}
                {`, ${wordDay(createdAt)}, ${wordTime(createdAt)}`}
              </small>
              <span dir="auto">{body}</span>
            </a>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
