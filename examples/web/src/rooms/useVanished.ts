import type { ViewerEvent } from '@parley/client/react';
import { useState } from 'react';

/**
 * Returns the rooms to which the viewer has lost access, with the reason. The reason is null if the server sent none.
 */
export function useVanished() {
  const [reasons, setReasons] = useState<ReadonlyMap<string, string | null>>(new Map());
  return {
    reasons,
    onEvent(event: ViewerEvent) {
      if (event.__typename === 'ChatroomVanished')
        setReasons((before) => new Map(before).set(event.chatroomId, event.reason));
      if (event.__typename === 'ChatroomAppeared')
        setReasons((before) => new Map([...before].filter(([id]) => id !== event.chatroom.id)));
    },
  };
}
