import { errorOf } from '@parley/client';
import { useChat, useFileUrl } from '@parley/client/react';
import { useState } from 'react';
import { wordRejection } from './Files.tsx';
import { type Image, SET_AVATAR, SET_ROOM_AVATAR } from './fragments.ts';

/** Shows the avatar of a user or a room beside the name. */
export function Avatar({ image }: { image: Image | null | undefined }) {
  const src = useFileUrl(image?.url);
  if (!image) return null;
  return <img {...{ src, width: 32, height: 32, alt: '', style: { borderRadius: '50%', objectFit: 'cover' } }} />;
}

/** A field for the avatar of a room, or of the viewer. */
export function AvatarField({ label, room }: { label: string; room?: string }) {
  const { client, cache } = useChat();
  const [state, setState] = useState('');
  async function change(picture: File | undefined) {
    if (!picture) return;
    setState('uploading…');
    try {
      const uploaded = await client.upload(picture, { purpose: 'AVATAR' });
      if (uploaded.state === 'REJECTED') return setState(`${picture.name} ${wordRejection(uploaded)}`);
      const attachment = uploaded.id;
      await (room ? cache.mutate(SET_ROOM_AVATAR, { room, attachment }) : cache.mutate(SET_AVATAR, { attachment }));
      setState('');
    } catch (error) {
      setState(errorOf(error)?.message ?? String(error));
    }
  }
  return (
    <p>
      <label>
        {label} <input type="file" accept="image/*" onChange={({ target }) => void change(target.files?.[0])} />
      </label>{' '}
      {state}
    </p>
  );
}
