import { useState } from 'react';
import { FriendsDialog } from './people/FriendsDialog.tsx';
import { ProfileDialog } from './people/ProfileDialog.tsx';
import { ConnectionBar } from './parts/ConnectionBar.tsx';
import { Room } from './room/Room.tsx';
import { SearchDialog } from './room/SearchDialog.tsx';
import { FindRoomsDialog } from './rooms/FindRoomsDialog.tsx';
import { NewRoomDialog } from './rooms/NewRoomDialog.tsx';
import { RoomList } from './rooms/RoomList.tsx';
import { useHome } from './rooms/useHome.ts';
import { useOpenRoom } from './route.ts';

export type DialogName = 'friends' | 'new' | 'find' | 'search' | 'profile';

/** The rooms beside the one that is open; on a narrow screen, one or the other. */
export function Chat() {
  const { viewer, problem, notice, dismiss } = useHome();
  const open = useOpenRoom();
  const [dialog, setDialog] = useState<DialogName | null>(null);
  const close = () => setDialog(null);
  if (!viewer)
    return (
      <p className="waiting" role="status">
        {problem ?? 'Loading your rooms…'}
      </p>
    );
  return (
    <div className="chat" data-open={open !== null || undefined}>
      <ConnectionBar />
      <RoomList viewer={viewer} open={open} onDialog={setDialog} />
      <main className="room">
        {open === null ? (
          <p className="waiting">Choose a room, or begin a new one.</p>
        ) : (
          <Room key={open} roomId={open} />
        )}
      </main>
      {notice && (
        <p className="notice floating" role="alert">
          <span dir="auto">{notice}</span>
          <button type="button" className="link" onClick={dismiss}>
            Dismiss
          </button>
        </p>
      )}
      {dialog === 'friends' && <FriendsDialog onClose={close} />}
      {dialog === 'new' && <NewRoomDialog onClose={close} />}
      {dialog === 'find' && <FindRoomsDialog onClose={close} />}
      {dialog === 'search' && <SearchDialog onClose={close} />}
      {dialog === 'profile' && <ProfileDialog viewer={viewer} onClose={close} />}
    </div>
  );
}
