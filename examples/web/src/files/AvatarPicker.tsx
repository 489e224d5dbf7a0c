import { type ChatClient, ChatError } from '@parley/client';
import { useRef } from 'react';
import { Avatar } from '../parts/Avatar.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { useSession } from '../session.ts';
import { wordRejection } from '../words.ts';
import { useFilesAllowed } from './useFilesAllowed.ts';

interface Props {
  name: string;
  seed: string;
  image: { url: string } | null | undefined;
  /** Sets the uploaded picture. Null removes the picture. */
  onSet: (attachmentId: string | null) => Promise<unknown>;
}

/** The picture of a user or a room, with buttons to change and remove it. */
export function AvatarPicker({ name, seed, image, onSet }: Props) {
  const { chat } = useSession();
  const allowed = useFilesAllowed();
  const input = useRef<HTMLInputElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  const change = useAction(async (file: File) => onSet(await uploadAvatar(chat, file)));
  const remove = useAction(async () => {
    await onSet(null);
    // The button is removed, which would lose the focus.
    opener.current?.focus();
  });
  const busy = change.busy || remove.busy;
  if (!allowed) return null;
  return (
    <div className="avatar-picker">
      <Avatar name={name} seed={seed} image={image} />
      <input
        hidden
        ref={input}
        type="file"
        accept="image/jpeg,image/png,image/gif,image/webp,image/avif"
        onChange={({ target }) => {
          const [file] = target.files ?? [];
          target.value = '';
          if (file) void change.run(file);
        }}
      />
      <button ref={opener} type="button" aria-disabled={busy} onClick={() => !busy && input.current?.click()}>
        {change.busy ? 'Uploading…' : image ? 'Change picture' : 'Add picture'}
      </button>
      {image && (
        <button type="button" aria-disabled={busy} onClick={() => void (!busy && remove.run())}>
          Remove picture
        </button>
      )}
      <Problem text={change.problem ?? remove.problem} />
    </div>
  );
}

/**
 * Uploads a picture. The former one stays until the server has processed the new one, which takes longer than the upload only
 * if the server is busy.
 */
async function uploadAvatar(chat: ChatClient, file: File): Promise<string> {
  const { id, state, rejection } = await chat.upload(file, { purpose: 'AVATAR' });
  if (state !== 'REJECTED') return id;
  throw new ChatError({
    code: 'BAD_USER_INPUT',
    message:
      rejection === 'NOT_WHAT_IT_SAYS'
        ? 'This file is not a picture that can be shown. Choose a JPEG, PNG, GIF, WebP or AVIF image.'
        : wordRejection(rejection),
  });
}
