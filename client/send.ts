/** A message to send. */
export interface SendInput {
  chatroomId: string;
  /** 1 to 10,000 characters. */
  body: string;
  /** What the message is called until it has an id; chosen here if it is left out. */
  clientMessageId?: string;
  /** A message of the same room that this one answers. */
  replyToId?: string;
}

/** The message as it is stored. */
export interface SentMessage {
  id: string;
  number: number;
  clientMessageId: string;
  body: string;
  createdAt: string;
  cursor: string;
}

// A string with its types, as codegen makes them.
export const SEND_MESSAGE = `mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) { message { id number clientMessageId body createdAt cursor } }
}` as string & { __apiType?: (variables: { input: SendInput }) => { sendMessage: { message: SentMessage } } };
