import { useApolloClient } from '@apollo/client/react';
import { useEffect, useRef } from 'react';
import { SetTypingDocument } from '../../generated/graphql.ts';

/** The server forgets it after 10 s unless it is said again. */
const AGAIN_MS = 5_000;

/** Tells the others that the viewer types: seldom, and only a hint, so that nothing is done if it fails. */
export function useTyping(roomId: string) {
  const apollo = useApolloClient();
  const saidAt = useRef(0);
  const tell = (typing: boolean) => {
    saidAt.current = typing ? Date.now() : 0;
    apollo
      .mutate({ mutation: SetTypingDocument, variables: { chatroomId: roomId, typing }, fetchPolicy: 'no-cache' })
      .catch(() => undefined);
  };
  const stop = () => {
    if (saidAt.current > 0) tell(false);
  };
  useEffect(() => stop, []);
  return {
    stop,
    say(typing: boolean) {
      if (!typing) stop();
      else if (Date.now() - saidAt.current > AGAIN_MS) tell(true);
    },
  };
}
