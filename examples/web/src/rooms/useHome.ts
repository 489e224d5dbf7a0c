import { useQuery } from '@apollo/client/react';
import { useEffect, useState } from 'react';
import {
  AllMessagesDocument,
  FriendsDocument,
  HomeDocument,
  type HomeQuery,
  PresenceChangedDocument,
  ViewerEventsDocument,
} from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { follow, load } from '../live.ts';
import { type Session, useSession } from '../session.ts';
import { forgetRoom, listRoom } from './roomCache.ts';

export type Viewer = NonNullable<HomeQuery['viewer']>;

/** The viewer and their rooms, kept up to date by what happens in all of them. */
export function useHome() {
  const session = useSession();
  const [problem, setProblem] = useState<string | null>(null);
  const [notice, setNotice] = useState<string | null>(null);
  const { data } = useQuery(HomeDocument, { fetchPolicy: 'cache-only' });
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const failed = (error: unknown) => {
      if (!signal.aborted) setProblem(wordError(error));
    };
    const start = async () => {
      const after = await loadHome(session);
      await Promise.all([
        followMessages(session, after, signal),
        followViewer(session, after, signal, setNotice),
        followPresence(session, signal),
      ]);
    };
    start().catch(failed);
    return () => controller.abort();
  }, [session]);
  return {
    viewer: data?.viewer,
    problem,
    notice: notice ?? problem,
    dismiss: () => {
      setNotice(null);
      setProblem(null);
    },
  };
}

/** Answers the cursor from which the stream over all rooms goes on. */
async function loadHome(session: Session): Promise<string> {
  const { viewer } = await load(session, HomeDocument, {});
  return viewer?.cursor ?? '';
}

async function followMessages(session: Session, after: string, signal: AbortSignal): Promise<void> {
  await follow(
    session,
    AllMessagesDocument,
    { after },
    {
      signal,
      onResync: () => loadHome(session),
      onData({ messageAdded }) {
        if (messageAdded) listRoom(session, messageAdded.chatroom);
      },
    },
  );
}

async function followViewer(
  session: Session,
  after: string,
  signal: AbortSignal,
  say: (notice: string) => void,
): Promise<void> {
  await follow(
    session,
    ViewerEventsDocument,
    { after },
    {
      signal,
      onResync: () => loadHome(session),
      // Unread counts that changed on another device are not repeated.
      onResumed: () => void loadHome(session).catch(() => undefined),
      onData({ viewerEvents: event }) {
        if (event?.__typename === 'ChatroomAppeared') listRoom(session, event.chatroom);
        if (event?.__typename === 'ChatroomVanished') forgetRoom(session, event.chatroomId);
        if (event?.__typename === 'FriendshipChanged')
          void session.apollo.refetchQueries({ include: [FriendsDocument] });
        if (event?.__typename === 'SystemNotice') say(event.body);
      },
    },
  );
}

async function followPresence(session: Session, signal: AbortSignal): Promise<void> {
  await follow(session, PresenceChangedDocument, {}, { signal, onData: () => undefined });
}
