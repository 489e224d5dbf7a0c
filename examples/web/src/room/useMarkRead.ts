import { useApolloClient } from '@apollo/client/react';
import { useEffect, useRef, useState } from 'react';
import { MarkReadDocument } from '../../generated/graphql.ts';
import type { Message, Room } from '../types.ts';

/** Says that the viewer has read a message that is in sight, once the page is looked at. */
export function useMarkRead(room: Room | null, newest: Message | undefined): void {
  const apollo = useApolloClient();
  const looking = useLooking();
  const said = useRef(0);
  const mark = room?.viewerMembership?.lastReadNumber ?? 0;
  useEffect(() => {
    if (!looking || !newest || newest.number <= Math.max(mark, said.current)) return;
    said.current = newest.number;
    apollo.mutate({ mutation: MarkReadDocument, variables: { messageId: newest.id } }).catch(() => {
      // It is said again with the next message.
      said.current = 0;
    });
  }, [apollo, looking, newest, mark]);
}

function useLooking(): boolean {
  const [looking, setLooking] = useState(() => document.visibilityState === 'visible');
  useEffect(() => {
    const look = () => setLooking(document.visibilityState === 'visible');
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, []);
  return looking;
}
