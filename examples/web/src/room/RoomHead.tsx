import { useState } from 'react';
import { Avatar } from '../parts/Avatar.tsx';
import { Icon } from '../parts/Icon.tsx';
import { typingSentence } from '../parts/sentences.tsx';
import { HOME } from '../route.ts';
import type { Person, Room } from '../types.ts';
import { titleOf, wordMembers, wordPresence } from '../words.ts';
import { RoomDialog } from './RoomDialog.tsx';
import { SearchDialog } from './SearchDialog.tsx';

export function RoomHead({ room, typing }: { room: Room; typing: readonly Person[] }) {
  const [dialog, setDialog] = useState<'search' | 'about' | null>(null);
  const { opponent } = room;
  const title = titleOf(room);
  const about = opponent ? (
    wordPresence(opponent)
  ) : (
    <>
      {wordMembers(room.memberCount)}
      {room.topic && (
        <>
          {' · '}
          <bdi>{room.topic}</bdi>
        </>
      )}
    </>
  );
  return (
    <header className="room-head">
      <a className="icon-button to-rooms" href={HOME} aria-label="All rooms">
        <Icon name="back" />
      </a>
      <Avatar
        name={title}
        seed={opponent?.username ?? room.id}
        image={(opponent ?? room).avatar}
        online={opponent?.presence?.status === 'ONLINE'}
      />
      <div className="room-names">
        <h1>
          <bdi>{title}</bdi>
        </h1>
        <p className="quiet" aria-live="polite">
          {typingSentence(typing) ?? about}
        </p>
      </div>
      <button
        type="button"
        className="icon-button"
        aria-label="Search this room"
        title="Search this room"
        onClick={() => setDialog('search')}
      >
        <Icon name="find" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="About this room"
        title="About this room"
        onClick={() => setDialog('about')}
      >
        <Icon name="people" />
      </button>
      {dialog === 'search' && <SearchDialog roomId={room.id} onClose={() => setDialog(null)} />}
      {dialog === 'about' && <RoomDialog room={room} onClose={() => setDialog(null)} />}
    </header>
  );
}
