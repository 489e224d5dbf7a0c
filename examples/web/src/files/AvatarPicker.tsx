import { type ChatClient, ChatError } from '@parley/client';
import { useRef } from 'react';
import { AttachmentDocument } from '../../generated/graphql.ts';
import { Avatar } from '../parts/Avatar.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { useSession } from '../session.ts';
import { useFilesAllowed } from './useFilesAllowed.ts';

/** Time between two queries while the server processes a picture, in milliseconds. */
const POLL_MS = 300;
/** Time after which the page no longer waits for the server to process a picture. */
const TIMEOUT_MS = 30_000;

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
 * Uploads a picture and waits until the server has processed it. A picture that is set earlier would be visible only
 * after the next reload, because the end of its processing is no event.
 */
async function uploadAvatar(chat: ChatClient, file: File): Promise<string> {
  const { id, ...uploaded } = await chat.upload(file, { purpose: 'AVATAR' });
  const end = Date.now() + TIMEOUT_MS;
  let { state } = uploaded;
  while (state === 'PROCESSING' && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const { node } = await chat.execute(AttachmentDocument, { id }, { retry: true });
    if (node?.__typename === 'Attachment') ({ state } = node);
  }
  if (state === 'READY') return id;
  throw new ChatError({
    code: 'BAD_USER_INPUT',
    message:
      state === 'REJECTED'
        ? 'This file is not a picture that can be shown. Choose a JPEG, PNG, GIF, WebP or AVIF image.'
        : 'The picture is still being checked. Try again later.',
  });
}
