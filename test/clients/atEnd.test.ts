import { setTimeout as pass } from 'node:timers/promises';
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ChatProvider, useRoom } from '../../client/react/index.ts';
import { startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';
import { CHATS } from './stores.ts';

const UNREAD = 'query ($id: ID!) { chatroom(id: $id) { unreadCount } }';

/** Creates an element for React. The components below render nothing, so it has no more than its listeners. */
function emptyElement(): Element {
  const listeners = { addEventListener: () => undefined, removeEventListener: () => undefined };
  const ownerDocument = { nodeType: 9, activeElement: null, ...listeners };
  return { nodeType: 1, nodeName: 'DIV', tagName: 'DIV', ownerDocument, ...listeners } as unknown as Element;
}

test.each(CHATS)('a composer follows the atEnd of the messages over %s', async (_name, openChat) => {
  const { ann, ben, room } = await world(await startTestServer());
  let marks = 0;
  const chat = openChat(ann, {
    fetch(input, init) {
      if ((init?.body as string).includes('ParleyMarkRead')) marks += 1;
      return fetch(input, init);
    },
  });
  const unread = async () => (await ann.ask(UNREAD, { id: room })).chatroom.unreadCount;
  let shown = 0;
  function Composer() {
    useRoom(room);
    return null;
  }
  function Messages({ atEnd }: { atEnd: boolean }) {
    shown = useRoom(room, { atEnd }).messages.length;
    return createElement(Composer);
  }

  // React looks for the focus in frames.
  vi.stubGlobal('window', { HTMLIFrameElement: class {} });
  const root = createRoot(emptyElement());
  onTestFinished(async () => {
    root.unmount();
    // React ends its scheduled work, which reads `window`.
    await pass(50);
    vi.unstubAllGlobals();
  });
  const render = (atEnd: boolean) => {
    root.render(createElement(ChatProvider, { ...chat, children: undefined }, createElement(Messages, { atEnd })));
  };
  render(false);
  for (let number = 1; number <= 3; number += 1) {
    await send(ben, room, String(number));
    await expect.poll(() => shown).toBe(number);
  }
  expect([marks, await unread()]).toEqual([0, 3]);
  render(true);
  await expect.poll(unread).toBe(0);
});
