import { createPending, type PendingMessages } from '@parley/client';
import { createApolloClient, followRooms, markRead, openRoom, sendMessage } from './apollo.ts';
import { sendFile, showFile } from './files.ts';
import type { MessageRowFragment } from './generated/graphql.ts';
import { createTypingReporter, followTyping } from './live.ts';
import { resumeSession, signIn } from './session.ts';
import { createReadMarker, createView } from './view.ts';

const url = 'http://localhost:4000/graphql';
// Signs in a demo user. A real application asks for the name and the password.
const session = resumeSession(url) ?? (await signIn(url, 'ann', 'parley-demo'));
const client = createApolloClient(session);
// Reloads the page after the session has ended, or after another user has signed in in another tab.
session.chat.onState((state) => {
  if (state === 'signed-out') location.reload();
});
const report = (error: unknown) => {
  alert(error instanceof Error ? error.message : String(error));
};

interface OpenRoom {
  id: string;
  pending: PendingMessages;
  reportTyping: (typing: boolean) => void;
  close: () => void;
}
let room: OpenRoom | null = null;
let history: MessageRowFragment[] = [];

const view = createView(
  open,
  (body) => {
    room?.reportTyping(false);
    if (room) sendMessage(client, session, room.id, body).catch(report);
  },
  (body) => room?.reportTyping(body !== ''),
  {
    send(file) {
      const onProgress = (text: string) => {
        view.showProgress(text);
      };
      if (room) sendFile(session.chat, room.id, file, onProgress).catch(report);
    },
    show: ({ attachments }) => attachments.map((attachment) => showFile(session.chat, attachment)),
  },
);
await followRooms(client, (rooms, unreadCount) => {
  view.showRooms(rooms, unreadCount);
});

const showedNewest = createReadMarker((message) => markRead(client, message));

function render(): void {
  if (room) view.showMessages(history, room.pending.without(history));
}

function open(id: string): void {
  room?.close();
  history = [];
  let isOpen = true;
  const pending = createPending(session.chat.outbox, id);
  const reportTyping = createTypingReporter(client, id);
  const stops = [
    pending.subscribe(render),
    followTyping(client, id, (names) => {
      view.showTyping(names);
    }),
  ];
  const opened = openRoom(client, id, (messages) => {
    if (!isOpen) return;
    history = messages;
    render();
    showedNewest(messages);
  });
  room = {
    id,
    pending,
    reportTyping,
    close() {
      isOpen = false;
      reportTyping(false);
      for (const stop of stops) stop();
      opened.close();
    },
  };
}
