import { useRoom } from '@parley/client/react';
import { useState } from 'react';

/** A form to write and send a message. */
export function Composer({ roomId }: { roomId: string }) {
  const { send, setTyping } = useRoom(roomId, { pageSize: 20 });
  const [body, setBody] = useState('');
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        send(body);
        setBody('');
      }}
    >
      <input
        aria-label="Message"
        value={body}
        onChange={(event) => {
          setBody(event.target.value);
          setTyping(event.target.value !== '');
        }}
      />
    </form>
  );
}
