import { useApolloClient } from '@apollo/client/react';
import { MoreRoomsDocument } from '../../generated/graphql.ts';
import type { DialogName } from '../Chat.tsx';
import { Avatar } from '../parts/Avatar.tsx';
import { Icon } from '../parts/Icon.tsx';
import { useAction } from '../parts/useAction.ts';
import { nameOf } from '../words.ts';
import { RoomLink } from './RoomLink.tsx';
import type { Viewer } from './useHome.ts';

interface Props {
  viewer: Viewer;
  open: string | null;
  onDialog: (name: DialogName) => void;
}

const BUTTONS = [
  ['search', 'find', 'Search messages'],
  ['friends', 'people', 'Friends'],
  ['find', 'compass', 'Find rooms'],
  ['new', 'plus', 'New room'],
] as const;

/** All rooms, most recently active first. */
export function RoomList({ viewer, open, onDialog }: Props) {
  const apollo = useApolloClient();
  const { edges, pageInfo } = viewer.chatrooms;
  const rooms = edges
    .map(({ node }) => node)
    .toSorted((a, b) => (b.lastMessageAt ?? b.createdAt).localeCompare(a.lastMessageAt ?? a.createdAt));
  const more = useAction(async (after: string) => {
    await apollo.query({ query: MoreRoomsDocument, variables: { after }, fetchPolicy: 'network-only' });
  });
  return (
    <nav className="rooms" aria-label="Rooms">
      <header className="rooms-head">
        <button type="button" className="me" onClick={() => onDialog('profile')}>
          <span className="hidden">Your profile: </span>
          <Avatar name={viewer.user.nickname} seed={viewer.user.username} />
          <strong>
            <bdi>{nameOf(viewer.user)}</bdi>
          </strong>
        </button>
        {BUTTONS.map(([name, icon, label]) => (
          <button
            key={name}
            type="button"
            className="icon-button"
            aria-label={label}
            title={label}
            onClick={() => onDialog(name)}
          >
            <Icon name={icon} />
          </button>
        ))}
      </header>
      <ul className="room-list">
        {rooms.map((room) => (
          <li key={room.id}>
            <RoomLink room={room} viewerId={viewer.user.id} open={room.id === open} />
          </li>
        ))}
      </ul>
      {rooms.length === 0 && <p className="quiet empty">You are in no room yet. Find one, or begin one.</p>}
      {pageInfo.hasNextPage && pageInfo.endCursor && (
        <button
          type="button"
          className="link"
          disabled={more.busy}
          onClick={() => void more.run(pageInfo.endCursor ?? '')}
        >
          More rooms
        </button>
      )}
    </nav>
  );
}
