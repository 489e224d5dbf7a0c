import { useRoom, useUpload } from '@parley/client/react';
import { useState } from 'react';
import { isSendable, UploadList } from './Files.tsx';
import { ROOM_OPTIONS } from './fragments.ts';

/** A form to write and send a message, with files. */
export function Composer({ roomId }: { roomId: string }) {
  const { send, setTyping } = useRoom(roomId, ROOM_OPTIONS);
  const { uploads, add, remove, clear } = useUpload();
  const [body, setBody] = useState('');
  // A message needs a text or a file.
  const canSend = uploads.every(isSendable) && (uploads.length > 0 || body.trim() !== '');
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!canSend) return;
        const attachmentIds = uploads.flatMap(({ attachment }) => attachment?.id ?? []);
        // The previews of links arrive later.
        send(body, { attachmentIds, linkPreviews: 'AUTO' });
        setBody('');
        clear();
      }}
    >
      <UploadList
        uploads={uploads}
        onRemove={remove}
        onRetry={({ key, file }) => {
          remove(key);
          add([file]);
        }}
      />
      <input
        aria-label="Message"
        value={body}
        onChange={(event) => {
          setBody(event.target.value);
          setTyping(event.target.value !== '');
        }}
      />
      <input
        aria-label="Files"
        type="file"
        multiple
        onChange={({ target }) => {
          add([...(target.files ?? [])]);
          // The same file can then be chosen again.
          target.value = '';
        }}
      />
      <button disabled={!canSend}>Send</button>
    </form>
  );
}
