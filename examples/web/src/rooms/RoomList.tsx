import type { RoomsResult } from '@parley/client/react';
import type { DialogName } from '../Chat.tsx';
import { Avatar } from '../parts/Avatar.tsx';
import { Icon } from '../parts/Icon.tsx';
import { useAction } from '../parts/useAction.ts';
import { useToasts } from '../parts/Toast.tsx';
import type { Room, Viewer } from '../types.ts';
import { nameOf } from '../words.ts';
import { RoomLink } from './RoomLink.tsx';

interface Props {
  viewer: Viewer;
  list: RoomsResult<Room>;
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
export function RoomList({ viewer, list, open, onDialog }: Props) {
  const { removed } = useToasts();
  const rooms = list.rooms.filter(({ id }) => !removed.has(id));
  const more = useAction(list.loadMore);
  return (
    <nav className="rooms" aria-label="Rooms">
      {open === null && <h1 className="hidden">Parley</h1>}
      <header className="rooms-head">
        <button type="button" className="me" onClick={() => onDialog('profile')}>
          <span className="hidden">Your profile: </span>
          <Avatar name={viewer.user.nickname} seed={viewer.user.username} image={viewer.user.avatar} />
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
      {rooms.length === 0 && <p className="quiet empty">You are not in any room yet. Find one, or create one.</p>}
      {list.hasMore && (
        <button type="button" className="link" aria-disabled={more.busy} onClick={() => void more.run()}>
          More rooms
        </button>
      )}
    </nav>
  );
}
