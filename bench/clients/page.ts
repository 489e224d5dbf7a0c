import type { StackName } from '../stacks.ts';
import { parleyPage } from './parleyPage.ts';
import { plainPage, socketioPage } from './rivalPages.ts';

/** Stream over which a page receives a message: the one over all rooms, for its list, or the one of the open room. */
export type PageStream = 'list' | 'room';

export interface PageListener {
  /** Called for each event of any stream. */
  onEvent(): void;
  /** Called for each message, with the event as text. `number` identifies the message and increases in the room. */
  onMessage(stream: PageStream, message: { id: string; number: number }, text: string): void;
  /** Called when an image of a message has been loaded. */
  onImage(): void;
  /** Called before a request or subscription that failed is repeated. */
  onRetry(error: Error): void;
  onFailed(error: Error): void;
}

export interface PageOptions {
  room: number;
  /** Number of subscriptions. Leaves out the last ones of the list. */
  subscriptions: number;
  /** Number of messages that the page loads. */
  messages: number;
}

/** An open chat page. */
export interface Page {
  /** Marks a message and all earlier ones as read. Resolves when the server has acknowledged the mark. */
  markRead(messageId: string): Promise<unknown>;
  close(): void;
}

/** A client that opens chat pages of a stack. */
export interface PageClient {
  /** Data that a page loads and subscribes to, for the output. */
  selects: string;
  /** Resolves when the page has loaded and subscribed. The server may not have processed all subscriptions yet. */
  open(url: string, user: number, options: PageOptions, listener: PageListener): Promise<Page>;
}

export const pageClients: Partial<Record<StackName, PageClient>> = {
  ...{ parley: parleyPage, plain: plainPage, socketio: socketioPage },
};
