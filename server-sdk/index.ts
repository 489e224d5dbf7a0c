import { randomUUID } from 'node:crypto';
import * as documents from './generated/graphql.ts';
import type {
  ChatroomFieldsFragment,
  CreateAccessTokenMutation,
  CreateChatroomInput,
  CreateWebhookInput,
  ExternalUserInput,
  SentMessageFieldsFragment,
  ResumeWebhookInput,
  SendMessageInput,
  SendSystemMessageInput,
  TestWebhookMutation,
  UpdateWebhookInput,
  UserFieldsFragment,
  WebhookFieldsFragment,
} from './generated/graphql.ts';
import { ParleyError } from './errors.ts';
import { createSend, type RequestOptions, type Send } from './request.ts';

export { ParleyError, type ParleyErrorDetails } from './errors.ts';
export type { Document, RequestOptions as ParleyOptions } from './request.ts';
export { verifyWebhook, type WebhookHeaders, type WebhookRequest } from './verifyWebhook.ts';
export type {
  ChatroomFieldsFragment as Chatroom,
  CreateChatroomInput,
  CreateWebhookInput,
  ExternalUserInput,
  SentMessageFieldsFragment as Message,
  ResumeWebhookInput,
  SendMessageInput,
  SendSystemMessageInput,
  UpdateWebhookInput,
  UserFieldsFragment as User,
  WebhookFieldsFragment as Webhook,
} from './generated/graphql.ts';

/** A chatroom, by its id or by its external id. */
export type ChatroomTarget = { chatroomId: string } | { chatroomExternalId: string };

/** A message that was stored. */
export interface SentMessage {
  message: SentMessageFieldsFragment;
  /** Whether an earlier send with the same `clientMessageId` stored the message. */
  deduplicated: boolean;
}

type NonNull<Value> = Exclude<Value, null | undefined>;

/** Maximum number of users of one `upsertUsers` mutation. More users are sent in several. */
const MAX_USERS = 100;

/**
 * The API of Parley for a backend. Each function throws a `ParleyError` if it fails. Functions that are safe to repeat
 * are retried after failures of the network and of the server.
 */
export class Parley {
  /** Runs any operation, such as one that codegen has typed. */
  readonly execute: Send;

  constructor(options: RequestOptions) {
    this.execute = createSend(options);
  }

  /** Creates users, and updates those whose external id exists. Any number; sent in groups of 100. */
  async upsertUsers(users: readonly ExternalUserInput[]): Promise<UserFieldsFragment[]> {
    const stored: UserFieldsFragment[] = [];
    for (let start = 0; start < users.length; start += MAX_USERS) {
      const input = { users: users.slice(start, start + MAX_USERS) };
      const { upsertUsers } = await this.execute(documents.UpsertUsersDocument, { input });
      stored.push(...present(upsertUsers).users);
    }
    return stored;
  }

  /** Returns a user; null if there is none with this external id. */
  async findUser(externalId: string): Promise<UserFieldsFragment | null> {
    const { userByExternalId } = await this.execute(documents.UserByExternalIdDocument, { externalId });
    return userByExternalId ?? null;
  }

  /** Ends the sessions of a user, and accepts no tokens of the user until `reactivateUser`. */
  async deactivateUser(externalId: string): Promise<UserFieldsFragment> {
    const { deactivateUser } = await this.execute(documents.DeactivateUserDocument, { input: { externalId } });
    return present(deactivateUser).user;
  }

  /** Ends a deactivation. */
  async reactivateUser(externalId: string): Promise<UserFieldsFragment> {
    const { reactivateUser } = await this.execute(documents.ReactivateUserDocument, { input: { externalId } });
    return present(reactivateUser).user;
  }

  /** Deletes a user. The messages remain without a sender. Deleting again changes nothing. */
  async deleteUser(externalId: string): Promise<void> {
    try {
      await this.execute(documents.DeleteUserDocument, { input: { externalId } });
    } catch (error) {
      // An earlier attempt, whose response was lost, has deleted the user.
      if (!(error instanceof ParleyError && error.code === 'NOT_FOUND')) throw error;
    }
  }

  /**
   * Creates an access token for a user. Give it to the client of the user, which sends it as `Bearer` token.
   *
   * @param lifetimeSeconds lifetime of the token; an hour by default
   */
  async createAccessToken(
    externalId: string,
    lifetimeSeconds?: number,
  ): Promise<NonNull<CreateAccessTokenMutation['createAccessToken']>> {
    const input = { externalId, ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }) };
    const { createAccessToken } = await this.execute(documents.CreateAccessTokenDocument, { input });
    return present(createAccessToken);
  }

  /** Ends all access tokens of a user. Their sockets close within a second. */
  async revokeAccessTokens(externalId: string): Promise<void> {
    await this.execute(documents.RevokeAccessTokensDocument, { input: { externalId } });
  }

  /** Creates a chatroom, or returns the one that has the external id. */
  async createChatroom(input: CreateChatroomInput & { externalId: string }): Promise<ChatroomFieldsFragment> {
    const { createChatroom } = await this.execute(documents.CreateChatroomDocument, { input });
    return present(createChatroom).chatroom;
  }

  /** Returns a chatroom; null if there is none with this external id. */
  async findChatroom(externalId: string): Promise<ChatroomFieldsFragment | null> {
    const { chatroomByExternalId } = await this.execute(documents.ChatroomByExternalIdDocument, { externalId });
    return chatroomByExternalId ?? null;
  }

  /** Adds at most 100 users to a chatroom. Nothing changes for users who are members. */
  async addChatroomMembers(chatroom: ChatroomTarget, externalIds: readonly string[]): Promise<ChatroomFieldsFragment> {
    const input = { ...chatroom, externalIds: [...externalIds] };
    const { addChatroomMembers } = await this.execute(documents.AddChatroomMembersDocument, { input });
    return present(addChatroomMembers).chatroom;
  }

  /**
   * Removes a user from a chatroom. Fails with NOT_FOUND if the user is no member, also if an earlier attempt, whose
   * response was lost, has removed the user.
   */
  async removeChatroomMember(chatroom: ChatroomTarget, externalId: string): Promise<void> {
    await this.execute(documents.RemoveChatroomMemberDocument, { input: { ...chatroom, externalId } });
  }

  /**
   * Sends a message on behalf of a user. Without a `clientMessageId`, the function makes one, so that its own retries
   * store one message. Pass one to make your own retries safe, such as those of a job.
   */
  async sendMessage(
    input: Omit<SendMessageInput, 'chatroomId' | 'chatroomExternalId'> & ChatroomTarget & { asUserExternalId: string },
  ): Promise<SentMessage> {
    const { sendMessage } = await this.execute(documents.SendMessageDocument, { input: identified(input) });
    return present(sendMessage);
  }

  /** Sends a system message to a chatroom, with the service as its author. `clientMessageId` as in `sendMessage`. */
  async sendSystemMessage(
    input: Omit<SendSystemMessageInput, 'userId' | 'username' | 'chatroomId' | 'target' | 'countsAsUnread'> &
      ChatroomTarget & { countsAsUnread?: boolean },
  ): Promise<SentMessage> {
    const { chatroomId, chatroomExternalId, ...notice } = {
      chatroomId: undefined,
      chatroomExternalId: undefined,
      ...input,
    };
    const target = chatroomId === undefined ? { chatroomExternalId } : { chatroomId };
    const { sendSystemMessage } = await this.execute(documents.SendSystemMessageDocument, {
      input: identified({ ...notice, target, countsAsUnread: notice.countsAsUnread ?? false }),
    });
    const { message, deduplicated } = present(sendSystemMessage);
    return { message: present(message), deduplicated };
  }

  /** Creates a webhook. Store the secret, because the server does not show it again. Not retried. */
  async createWebhook(input: CreateWebhookInput): Promise<{ webhook: WebhookFieldsFragment; secret: string }> {
    const { createWebhook } = await this.execute(documents.CreateWebhookDocument, { input }, false);
    return present(createWebhook);
  }

  /** Changes a webhook. */
  async updateWebhook(input: UpdateWebhookInput): Promise<WebhookFieldsFragment> {
    const { updateWebhook } = await this.execute(documents.UpdateWebhookDocument, { input });
    return present(updateWebhook).webhook;
  }

  /** Returns the webhooks of this service. */
  async listWebhooks(): Promise<WebhookFieldsFragment[]> {
    return present((await this.execute(documents.WebhooksDocument, {})).webhooks);
  }

  /** Sends a test to the receiver, and returns its response. */
  async testWebhook(webhookId: string): Promise<NonNull<TestWebhookMutation['testWebhook']>> {
    const { testWebhook } = await this.execute(documents.TestWebhookDocument, { input: { webhookId } });
    return present(testWebhook);
  }

  /** Replaces the secret. For 24 hours, requests are signed with both. Not retried. */
  async rotateWebhookSecret(webhookId: string): Promise<string> {
    const { rotateWebhookSecret } = await this.execute(
      documents.RotateWebhookSecretDocument,
      { input: { webhookId } },
      false,
    );
    return present(rotateWebhookSecret).secret;
  }

  /** Continues a webhook after a failure, or moves its position. */
  async resumeWebhook(input: ResumeWebhookInput): Promise<WebhookFieldsFragment> {
    const { resumeWebhook } = await this.execute(documents.ResumeWebhookDocument, { input });
    return present(resumeWebhook).webhook;
  }

  /** Deletes a webhook. Deleting again changes nothing. */
  async deleteWebhook(webhookId: string): Promise<void> {
    try {
      await this.execute(documents.DeleteWebhookDocument, { input: { webhookId } });
    } catch (error) {
      if (!(error instanceof ParleyError && error.code === 'NOT_FOUND')) throw error;
    }
  }
}

/** Returns a value that the server always sets if there is no error. */
function present<Value>(value: Value): NonNull<Value> {
  if (value === null || value === undefined)
    throw new Error('The response lacks a value. Is the server older than this package?');
  return value as NonNull<Value>;
}

function identified<Input extends { clientMessageId?: string | null | undefined }>(input: Input): Input {
  return { ...input, clientMessageId: input.clientMessageId ?? randomUUID() };
}
