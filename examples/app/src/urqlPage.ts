import { createPending, type PendingMessages } from '@parley/client';
import {
  createUrqlClient,
  followRooms,
  markRead,
  openRoom,
  removePreview,
  sendMessage,
  setAvatar,
  setRoomAvatar,
} from './urql.ts';
import { sendFile, showAvatar, showFile, uploadFile } from './files.ts';
import type { MessageRowFragment } from './generated/graphql.ts';
import { showPreview } from './linkPreviews.ts';
import { resumeSession, signIn } from './session.ts';
import { createReadMarker, createView } from './view.ts';

const url = 'http://localhost:4000/graphql';
// Signs in a demo user. A real application asks for the name and the password.
const session = resumeSession(url) ?? (await signIn(url, 'ann', 'parley-demo'));
const { chat } = session;
const client = createUrqlClient(url, session);
// Reloads the page after the session has ended, or after another user has signed in in another tab.
chat.onState((state) => {
  if (state === 'signed-out') location.reload();
});
const report = (error: unknown) => {
  alert(error instanceof Error ? error.message : String(error));
};

let room: { id: string; pending: PendingMessages; close: () => void } | null = null;
let history: MessageRowFragment[] = [];

const view = createView(
  open,
  (body) => {
    if (room) sendMessage(client, room.id, body).catch(report);
  },
  () => undefined,
  {
    sendFile(file) {
      const onProgress = (text: string) => {
        view.showProgress(text);
      };
      if (room) sendFile(chat, room.id, file, onProgress).catch(report);
    },
    setAvatar(picture) {
      uploadFile(chat, picture, { purpose: 'AVATAR' })
        .then((attachment) => setAvatar(client, attachment))
        .catch(report);
    },
    setRoomAvatar(picture) {
      const id = room?.id;
      if (id === undefined) return;
      uploadFile(chat, picture, { purpose: 'AVATAR' })
        .then((attachment) => setRoomAvatar(client, id, attachment))
        .catch(report);
    },
    show: ({ id, sender, attachments, linkPreviews }) => [
      ...attachments.map((file) => showFile(chat, file)),
      ...linkPreviews.map((preview) => {
        const remove = () => void removePreview(client, id, preview.id).catch(report);
        return showPreview(chat, preview, sender?.id === session.user.id ? remove : undefined);
      }),
    ],
    showAvatar: (avatar) => showAvatar(chat, avatar),
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
  const pending = createPending(chat.outbox, id);
  const unsubscribe = pending.subscribe(render);
  const opened = openRoom(client, id, (messages) => {
    if (!isOpen) return;
    history = messages;
    render();
    showedNewest(messages);
  });
  room = {
    id,
    pending,
    close() {
      isOpen = false;
      unsubscribe();
      opened.close();
    },
  };
}
