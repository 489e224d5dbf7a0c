import type { StackName } from '../stacks.ts';
import { bareClient } from './bare.ts';
import { ejabberdClient } from './ejabberd.ts';
import { mercuriusClient, parleyClient, plainClient } from './graphql.ts';
import { insertClient } from './insert.ts';
import type { LeanSocket, OnText } from './socket.ts';
import { socketioClient } from './socketio.ts';

/** Sends a message, with an attachment if the stack has attachments, and resolves when it is acknowledged. */
export interface Sender {
  send(room: number, body: string, attachmentId?: string): Promise<void>;
  close(): void;
}

/** A client of a stack. */
export interface Client {
  /** Subscribes a user to a room. The server may not have processed the subscription yet. */
  listen(url: string, user: number, room: number, onText: OnText): Promise<LeanSocket>;
  /** Opens a sender over the transport that the stack's own client uses. */
  openSender(url: string, user: number): Promise<Sender>;
  /** Opens a sender over HTTP, if `openSender` sends over a WebSocket and the stack accepts both. */
  openHttpSender?: (url: string, user: number) => Promise<Sender>;
}

export const clients: Record<StackName, Client> = {
  ...{ parley: parleyClient, bare: bareClient, insert: insertClient, socketio: socketioClient },
  ...{ mercurius: mercuriusClient, plain: plainClient, ejabberd: ejabberdClient },
};
