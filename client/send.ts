/** A message to send. */
export interface SendInput {
  chatroomId: string;
  /** 1 to 10,000 characters. May be empty if there are attachments. */
  body: string;
  /** Identifies the message until it has an id, and makes retries safe. A random UUID by default. */
  clientMessageId?: string;
  /** Id of a message of the same room to which this one replies. */
  replyToId?: string;
  /** Ids of at most 10 attachments that `upload` has returned, in the order in which they are shown. */
  attachmentIds?: readonly string[];
  /** Ids of at most 3 previews that the query `linkPreview` has returned. */
  linkPreviewIds?: readonly string[];
  /** Lets the server find previews for the first 3 links, if its `features` list `link-previews`. */
  linkPreviews?: 'AUTO';
}

/** The stored message. */
export interface SentMessage {
  id: string;
  number: number;
  clientMessageId: string;
  body: string;
  createdAt: string;
  cursor: string;
}

// Has the same type as a document string from codegen.
export const SEND_MESSAGE = `mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) { message { id number clientMessageId body createdAt cursor } }
}` as string & { __apiType?: (variables: { input: SendInput }) => { sendMessage: { message: SentMessage } } };

/** Queries the newest messages of a room, to find a sent message by its `clientMessageId`. */
export const NEWEST_MESSAGES = `query NewestMessages($id: ID!) {
  chatroom(id: $id) { messages(last: 100) { nodes { id number clientMessageId body createdAt cursor } } }
}`;
