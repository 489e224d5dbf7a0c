import { errorOf, type Failure, isTemporary } from '../errors.ts';
import type { OutboxEntry } from '../index.ts';
import { createPending } from '../pending.ts';
import type { SendInput } from '../send.ts';
import { createBatch } from './batch.ts';
import { abortable, type Chat, unlessAborted } from './chat.ts';
import type { CachedRoom, Documents, MessageKey, RoomKey } from './documents.ts';
import type { RoomSnapshot } from './history.ts';
import { keepOpen, type Progress } from './keepOpen.ts';
import { openRoom, type OpenRoomEvent } from './openRoom.ts';
import type { ReadMarker } from './readMarker.ts';
import { createRoomMessages } from './roomMessages.ts';
import { followSeen } from './seen.ts';
import { createStore, type SetState, type Store } from './store.ts';
import { createTyping } from './typing.ts';
import { mayChangeBlocks } from './viewerEvents.ts';

export interface RoomState<Message, Room, User> {
  room: (Room & RoomKey) | null;
  /** Loaded messages without a gap, oldest first. */
  messages: readonly (Message & MessageKey)[];
  /**
   * The viewer's messages that are being sent or were rejected: outbox entries that `messages` does not contain yet.
   */
  pending: readonly OutboxEntry[];
  /** Users who are typing, without the viewer. */
  typing: readonly (User & { id: string })[];
  /** True until the newest messages are loaded, or loading has failed. */
  loading: boolean;
  /** Error that prevents the room from being shown or updated. `NOT_FOUND` if the viewer is not a member. */
  error: Failure | null;
  /** Number of the last message that the viewer had read when the room was opened, or when `markUnread` was called. */
  readUpTo: number;
  hasEarlier: boolean;
  /** True after `jumpTo`, while `messages` does not reach the newest message. */
  hasLater: boolean;
}

export interface RoomStore<Message, Room, User> extends Store<RoomState<Message, Room, User>> {
  loadEarlier: () => Promise<void>;
  loadLater: () => Promise<void>;
  /**
   * Shows the message with this number and the messages around it. Returns false if the message does not exist or the
   * viewer may not see it.
   */
  jumpTo: (number: number) => Promise<boolean>;
  /** Shows the newest messages. Keeps only one page if more than two pages are loaded. */
  showNewest: () => void;
  markRead: (message: MessageKey) => void;
  /**
   * Marks a message and all later messages as unread. The hooks mark nothing as read until the room is opened again or
   * the viewer sends a message to it.
   */
  markUnread: (message: MessageKey) => Promise<void>;
  /**
   * Sends a message through the outbox and shows it in `pending` at once. Also reports that the viewer has stopped
   * typing. The body may be empty if there are attachments.
   */
  send: (body: string, options?: Omit<SendInput, 'chatroomId' | 'body' | 'clientMessageId'>) => void;
  setTyping: (typing: boolean) => void;
  /** Calls the listener for each new message, in order. Returns a function that removes the listener. */
  onMessage: (listener: (message: Message & MessageKey) => void) => () => void;
}

/** Creates the store of a room. The store stays up to date while it has subscribers. */
export function createRoom<Message, Room, User>(
  shared: Chat,
  documents: Documents<Message, Room, User>,
  chatroomId: string,
  pageSize: number,
): RoomStore<Message, Room, User> {
  type Node = Message & MessageKey;
  const { chat, abort } = abortable(shared);
  const { client, cache } = chat;
  const target = { documents, chatroomId, pageSize };
  const initial: RoomState<Message, Room, User> = {
    ...{ room: null, messages: [], pending: [], typing: [], loading: true, error: null },
    ...{ readUpTo: 0, hasEarlier: false, hasLater: false },
  };
  const listeners = new Set<(message: Node) => void>();
  const typing = createTyping(chat, documents, chatroomId);
  const pending = createPending(client.outbox, chatroomId);
  const messages = createRoomMessages(chat, target, () => {
    publishing.add(null);
  });
  /** Null while the store has no subscribers. */
  let marker: ReadMarker | null = null;
  let set: SetState<RoomState<Message, Room, User>> = () => undefined;
  let room: CachedRoom<Room> | null = null;
  let loaded = false;
  /**
   * Pending while the room is being loaded, and until a failed load is repeated. A jump waits, because loading shows the
   * newest messages.
   */
  let opening = Promise.resolve();
  /** Resolves `opening`. Null if it is resolved. */
  let endOpening: (() => void) | null = null;

  function publish(): void {
    if (!loaded || !room) return;
    const { shown, newest } = messages;
    set({
      room,
      messages: shown.nodes,
      pending: pending.without(newest.nodes),
      hasEarlier: shown.earlier !== null,
      hasLater: shown !== newest,
      loading: false,
    });
  }
  const publishing = createBatch<unknown>(publish);

  function show(snapshot: RoomSnapshot<Message, Room>, replay: () => void): void {
    messages.open(snapshot, replay);
    // Keeps a room that `cache.watch` has delivered, because it may be newer than the snapshot.
    room ??= snapshot.room;
    if (!loaded) set({ readUpTo: snapshot.room.viewerMembership?.lastReadNumber ?? 0 });
    loaded = true;
    publishing.add(null);
  }

  /**
   * Shows a snapshot that replaces the room. If more than the newest page is shown, loads all of it again, so that the
   * user does not lose their place.
   */
  async function showAgain(snapshot: RoomSnapshot<Message, Room>, replay: () => void): Promise<void> {
    const { newest, shown } = messages;
    if (shown === newest && newest.nodes.length <= snapshot.nodes.length) show(snapshot, replay);
    else await messages.reload();
  }

  function onEvents(events: OpenRoomEvent<Message, Room>[]): void {
    const added = events.flatMap((event) => (event.__typename === 'MessageAdded' ? event.message : []));
    messages.newest.push(added);
    publishing.add(null);
    for (const message of added) for (const listener of listeners) listener(message);
  }

  function beginOpening(): void {
    if (!endOpening) opening = new Promise((resolve) => (endOpening = resolve));
  }

  function ready(): void {
    endOpening?.();
    endOpening = null;
  }

  function start(setState: typeof set): () => void {
    set = setState;
    marker = chat.readMarkers.open(chatroomId, (messageId) => cache.mutate(documents.markRead, { messageId }));
    let unfollow: (() => void) | null = null;
    const followViewer = () => {
      unfollow ??= chat.viewerEvents.follow(documents);
    };

    function open({ onLoaded, onError }: Progress): () => void {
      beginOpening();
      let [hasFailed, stopped] = [false, false];
      /**
       * True if the viewer was added to the room again before the old streams have failed. Their failure then reopens the
       * room.
       */
      let hasAppeared = false;
      let hints: (() => void)[] | null = null;
      /** Whether the room's stream has been disconnected since its snapshot. It then does not report earlier blocks. */
      let hasResumed = false;
      /** Whether the viewer's stream has begun since the room was opened. It then does not report earlier blocks. */
      let hasBegun = false;
      /**
       * Whether the messages must be loaded again, because neither stream may have reported a block. A snapshot shows the
       * block. The load waits for `CaughtUp`, because a snapshot may arrive instead. If the load came first, the snapshot
       * would find more than one page in the list.
       */
      let mayMissBlock = false;
      /** Whether the room's stream has reconnected, but has sent neither `CaughtUp` nor a snapshot since. */
      let isBehind = false;
      const fail = (error: unknown) => {
        if (stopped) return;
        if (hasAppeared) {
          kept.reopen();
          return;
        }
        hasFailed = true;
        const failure = errorOf(error);
        if (failure && isTemporary(failure)) beginOpening();
        else ready();
        onError(error);
        // Follows the viewer's events, because `ChatroomAppeared` reopens the room.
        if (failure?.code === 'NOT_FOUND') followViewer();
      };
      const stop = openRoom(chat, target, {
        onOpen(snapshot, isResync, replay) {
          [mayMissBlock, isBehind] = [false, false];
          hints ??= followHints(fail);
          followViewer();
          if (isResync && loaded) showAgain(snapshot, replay).catch(fail);
          else show(snapshot, replay);
          ready();
          onLoaded();
        },
        onEvents(events) {
          onEvents(events);
          const isCaughtUp = events.some(({ __typename }) => __typename === 'CaughtUp');
          // The messages and reactions of a deleted account lose their user without an event of their own.
          const isDeleted = events.some((event) => event.__typename === 'MemberLeft' && event.user === null);
          if (isDeleted || (isCaughtUp && mayMissBlock)) messages.reload().catch(fail);
          if (isCaughtUp) [mayMissBlock, isBehind] = [false, false];
        },
        onResumed() {
          mayMissBlock ||= hasBegun && !hasResumed;
          [hasResumed, isBehind] = [true, true];
        },
        onError: fail,
      });
      const unlisten = chat.viewerEvents.listen((event) => {
        const isAdded = event.__typename === 'ChatroomAppeared' && event.chatroom.id === chatroomId;
        if (hasFailed) {
          if (isAdded || event.__typename === 'EventsMissed' || event.__typename === 'ViewerSnapshot') kept.reopen();
          return;
        }
        hasAppeared ||= isAdded;
        const begins = event.__typename === 'ViewerSnapshot';
        hasBegun ||= begins;
        if (begins && isBehind) mayMissBlock = true;
        else if (mayChangeBlocks(event) && (!begins || hasResumed) && loaded) messages.reload().catch(fail);
      });
      return () => {
        stopped = true;
        for (const end of [stop, unlisten, ...(hints ?? [])]) end();
      };
    }

    const kept = keepOpen(client, set, open);
    const stops = [
      kept.close,
      pending.subscribe(publish),
      cache.watch(documents.room, { chatroomId }, (data) => {
        if (data?.chatroom) room = data.chatroom;
        publishing.add(null);
      }),
    ];
    return () => {
      unfollow?.();
      for (const stop of stops) stop();
      abort();
      ready();
      publishing.cancel();
      messages.close();
      typing.send(false);
      chat.readMarkers.release(chatroomId);
      marker = null;
      [room, loaded] = [null, false];
    };
  }

  function followHints(fail: (error: unknown) => void): (() => void)[] {
    return [
      typing.follow((users) => {
        set({ typing: users });
      }, fail),
      followSeen(chat, target, messages, fail),
    ];
  }

  return {
    ...createStore(initial, start),
    async loadEarlier() {
      await unlessAborted(messages.loadEarlier());
      publish();
    },
    async loadLater() {
      await unlessAborted(messages.loadLater());
      publish();
    },
    async jumpTo(number) {
      await opening;
      const found = await unlessAborted(messages.jumpTo(number));
      publish();
      return found ?? false;
    },
    showNewest() {
      messages.showNewest();
      publish();
    },
    markRead(message) {
      if (message.number > (room?.viewerMembership?.lastReadNumber ?? 0)) marker?.mark(message);
    },
    async markUnread({ id }) {
      const request = () => cache.mutate(documents.markUnread, { messageId: id });
      const { markUnread } = await (marker ? marker.markUnread(request) : request());
      // Uses the mark of the response, because the server does not move a mark that is already before the message.
      set({ readUpTo: markUnread.chatroom.viewerMembership?.lastReadNumber ?? 0 });
    },
    send(body, options = {}) {
      typing.send(false);
      marker?.resume();
      // Ignores the error, because the outbox entry contains it.
      client.send({ chatroomId, body, ...options }).catch(() => undefined);
    },
    setTyping(isTyping) {
      typing.send(isTyping);
    },
    onMessage(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
