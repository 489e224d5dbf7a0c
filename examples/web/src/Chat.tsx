import { useApolloClient, useQuery } from '@apollo/client/react';
import { usePresence, useRooms } from '@parley/client/react';
import { useEffect, useState } from 'react';
import { FriendsDocument, ViewerDocument } from '../generated/graphql.ts';
import { friendSelection, roomSelection } from './chat.ts';
import { wordError, wordFailure } from './errors.ts';
import { FriendsDialog } from './people/FriendsDialog.tsx';
import { ProfileDialog } from './people/ProfileDialog.tsx';
import { ConnectionBar } from './parts/ConnectionBar.tsx';
import { Waiting } from './parts/Waiting.tsx';
import { Mark } from './parts/Mark.tsx';
import { useToasts } from './parts/Toast.tsx';
import { Nothing, Room } from './room/Room.tsx';
import { SearchDialog } from './room/SearchDialog.tsx';
import { FindRoomsDialog } from './rooms/FindRoomsDialog.tsx';
import { NewRoomDialog } from './rooms/NewRoomDialog.tsx';
import { RoomList } from './rooms/RoomList.tsx';
import { useVanished } from './rooms/useVanished.ts';
import { wordVanished } from './words.ts';
import { usePlace } from './route.ts';
import { useNotifications, useUnreadTitle } from './useAttention.ts';

export type DialogName = 'friends' | 'new' | 'find' | 'search' | 'profile';

/** Shows the list of rooms beside the open room. A narrow screen shows only one of them. */
export function Chat() {
  const apollo = useApolloClient();
  const { report } = useToasts();
  const { data, error, refetch } = useQuery(ViewerDocument, { fetchPolicy: 'cache-and-network' });
  const vanished = useVanished();
  const list = useRooms({
    ...roomSelection,
    onEvent(event) {
      if (event.__typename === 'FriendshipChanged') void apollo.refetchQueries({ include: [FriendsDocument] });
      if (event.__typename === 'SystemNotice') report(event.body);
      vanished.onEvent(event);
    },
  });
  const isListLoaded = !list.loading && !list.error;
  // The list of rooms loads again after an outage of the server.
  useEffect(() => {
    if (error && isListLoaded) refetch().catch(() => undefined);
  }, [error, isListLoaded]);
  usePresence(friendSelection);
  const place = usePlace();
  const [dialog, setDialog] = useState<DialogName | null>(null);
  const close = () => setDialog(null);
  const viewer = data?.viewer;
  useUnreadTitle(list.unreadCount);
  useNotifications(list.rooms, viewer?.user.id ?? '');
  const problem = list.error ? wordFailure(list.error) : error && wordError(error);
  if (!viewer || (!isListLoaded && list.rooms.length === 0))
    return (
      <main>
        <Waiting>{problem ?? 'Loading your rooms…'}</Waiting>
      </main>
    );
  return (
    <div className="chat" data-open={place !== null || undefined}>
      <ConnectionBar />
      <RoomList viewer={viewer} list={list} open={place?.roomId ?? null} onDialog={setDialog} />
      <main className="room">
        {place === null ? (
          <div className="waiting">
            <Mark />
            <p>Choose a room, or start a new one.</p>
          </div>
        ) : vanished.reasons.has(place.roomId) ? (
          <Nothing text={wordVanished(vanished.reasons.get(place.roomId) ?? null)} />
        ) : (
          <Room key={place.roomId} place={place} />
        )}
      </main>
      {dialog === 'friends' && <FriendsDialog onClose={close} />}
      {dialog === 'new' && <NewRoomDialog onClose={close} />}
      {dialog === 'find' && <FindRoomsDialog onClose={close} />}
      {dialog === 'search' && <SearchDialog onClose={close} />}
      {dialog === 'profile' && <ProfileDialog viewer={viewer} onClose={close} />}
    </div>
  );
}
