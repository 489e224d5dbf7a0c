import { builder } from '../../graphql/builder.ts';
import type { Context } from '../../core/context.ts';
import { keyOf } from '../../core/globalIds.ts';
import { Chatroom, ChatroomPayload } from '../chatrooms/schema.ts';
import { User } from '../users/schema.ts';
import type { User as UserRow } from '../../platform/database/generated/client.ts';
import { avatarOf, setAvatar, setChatroomAvatar } from './avatars.ts';
import { Image, type ImageData, toImage } from './imageSchema.ts';

async function avatarImage(context: Context, owner: { avatarId?: string | null }): Promise<ImageData | null> {
  const avatar = await avatarOf(context, owner);
  return avatar && toImage(avatar, 'THUMBNAIL');
}

builder.objectField(User, 'avatar', (t) =>
  t.field({
    type: Image,
    nullable: true,
    description:
      'Picture of the user, at most 320 pixels wide and high. A new picture is shown once it has been processed. Visible to every signed-in user, at this size only. Null if there is none.',
    resolve: (user, _args, context) => (user.avatarId == null ? null : avatarImage(context, user)),
  }),
);

builder.objectField(Chatroom, 'avatar', (t) =>
  t.field({
    type: Image,
    nullable: true,
    description:
      'Picture of the chatroom, at most 320 pixels wide and high. A new picture is shown once it has been processed. Null if there is none, and for DIRECT chatrooms.',
    resolve: (chatroom, _args, context) => (chatroom.avatarId == null ? null : avatarImage(context, chatroom)),
  }),
);

const SetAvatarInput = builder.inputType('SetAvatarInput', {
  description: 'Input of `setAvatar`.',
  fields: (t) => ({
    attachmentId: t.id({
      description: 'Id of an image that the viewer has uploaded with the purpose AVATAR. Null removes the avatar.',
    }),
  }),
});

const SetAvatarPayload = builder.objectRef<{ user: UserRow }>('SetAvatarPayload').implement({
  description: 'Result of `setAvatar`.',
  fields: (t) => ({
    user: t.expose('user', {
      type: User,
      description: 'The viewer’s profile. Has the former avatar while the new one is being processed.',
    }),
  }),
});

const SetChatroomAvatarInput = builder.inputType('SetChatroomAvatarInput', {
  description: 'Input of `setChatroomAvatar`.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Id of the chatroom.' }),
    attachmentId: t.id({
      description: 'Id of an image that the viewer has uploaded with the purpose AVATAR. Null removes the avatar.',
    }),
  }),
});

/** Returns the key of an attachment; null for no attachment, and undefined for an id that names none. */
function attachmentKey(id: string | null | undefined): string | null | undefined {
  return id == null ? null : (keyOf('Attachment', id) ?? undefined);
}

builder.mutationFields((t) => ({
  setAvatar: t.field({
    type: SetAvatarPayload,
    nullable: true,
    description:
      'Sets or removes the avatar of the viewer. The former avatar is deleted. While the image is being processed, the former avatar stays, and a later call cancels the change. If the image is rejected, the former avatar stays for good. Fails with `NOT_FOUND` unless the viewer has uploaded the image with the purpose AVATAR, and uses it nowhere else.',
    args: { input: t.arg({ type: SetAvatarInput, required: true, description: 'The image.' }) },
    resolve: async (_, { input }, context) => ({
      user: await setAvatar(context, attachmentKey(input.attachmentId)),
    }),
  }),
  setChatroomAvatar: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Sets or removes the avatar of a chatroom. Requires the role OWNER or ADMIN. The former avatar is deleted. While the image is being processed, the former avatar stays, and a later call cancels the change. If the image is rejected, the former avatar stays for good. `ChatroomUpdated` is sent when the avatar changes. Fails with `NOT_FOUND` if the viewer is not a member. Fails with `NOT_FOUND` unless the viewer has uploaded the image with the purpose AVATAR, and uses it nowhere else. Fails with `FORBIDDEN` if the viewer is not OWNER or ADMIN, and with `BAD_USER_INPUT` for a DIRECT chatroom.',
    args: {
      input: t.arg({ type: SetChatroomAvatarInput, required: true, description: 'The chatroom and the image.' }),
    },
    resolve: async (_, { input }, context) => ({
      chatroom: await setChatroomAvatar(
        context,
        keyOf('Chatroom', input.chatroomId),
        attachmentKey(input.attachmentId),
      ),
    }),
  }),
}));
