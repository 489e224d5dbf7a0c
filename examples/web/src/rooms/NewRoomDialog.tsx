import { useApolloClient } from '@apollo/client/react';
import { useState } from 'react';
import { CreateRoomDocument } from '../../generated/graphql.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { optionalTextOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { PeoplePicker } from '../people/PeoplePicker.tsx';
import { openRoom } from '../route.ts';
import type { Friend } from '../types.ts';

/** Creates a group, or an open room that anyone can find. Direct rooms are created with "Message" beside a person. */
export function NewRoomDialog({ onClose }: { onClose: () => void }) {
  const apollo = useApolloClient();
  const [chosen, setChosen] = useState<readonly Friend[]>([]);
  const create = useAction(async (form: FormData) => {
    const { data } = await apollo.mutate({
      mutation: CreateRoomDocument,
      variables: {
        input: {
          kind: form.get('open') ? 'OPEN' : 'GROUP',
          name: optionalTextOf(form, 'name'),
          topic: optionalTextOf(form, 'topic'),
          memberIds: chosen.map(({ id }) => id),
        },
      },
    });
    if (!data?.createChatroom) return;
    openRoom(data.createChatroom.chatroom.id);
    onClose();
  });
  return (
    <Dialog title="New room" onClose={onClose}>
      <form
        id="new-room"
        onSubmit={(event) => {
          event.preventDefault();
          void create.run(new FormData(event.currentTarget));
        }}
      >
        <Field label="Name" name="name" maxLength={100} required autoComplete="off" />
        <Field label="Topic (optional)" name="topic" maxLength={500} autoComplete="off" />
        <label className="check">
          <input type="checkbox" name="open" /> Anyone can find and join this room
        </label>
      </form>
      <PeoplePicker label="Add people" chosen={chosen} onChange={setChosen} />
      <Problem text={create.problem} />
      <button className="primary" form="new-room" aria-disabled={create.busy}>
        Create
      </button>
    </Dialog>
  );
}
