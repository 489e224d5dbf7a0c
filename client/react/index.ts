/**
 * Headless React hooks for a chat. They use Apollo Client's cache (`react/apollo`) or urql's graphcache (`react/urql`).
 */
export type { ChatCache, SubscriptionHandlers, TypedDocument } from './cache.ts';
export type { Fragment, Friend, MessageKey, Presence, RoomKey, Selections, ViewerEvent } from './documents.ts';
export { ChatProvider, useChat } from './provider.ts';
export type { RoomState } from './room.ts';
export type { RoomsState } from './rooms.ts';
export type { Attachment, Message, Room, User } from './types.ts';
export { type Connection, useConnection } from './useConnection.ts';
export { useFileUrl } from './useFileUrl.ts';
export { type OutboxResult, useOutbox } from './useOutbox.ts';
export { type PresenceState, usePresence } from './usePresence.ts';
export { type ReadMark, type ReadMarksResult, type ReadMarksState, useReadMarks } from './useReadMarks.ts';
export { type RoomOptions, type RoomResult, useRoom } from './useRoom.ts';
export { type RoomsOptions, type RoomsResult, useRooms } from './useRooms.ts';
export { type FileUpload, type UploadsResult, useUpload } from './useUpload.ts';
