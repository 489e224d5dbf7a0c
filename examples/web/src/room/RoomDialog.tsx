import { useApolloClient } from '@apollo/client/react';
import { useState } from 'react';
import {
  AddMembersDocument,
  DeleteRoomDocument,
  LeaveRoomDocument,
  MembersDocument,
  UpdateRoomDocument,
} from '../../generated/graphql.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { optionalTextOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { PeoplePicker } from '../people/PeoplePicker.tsx';
import { forgetRoom } from '../rooms/roomCache.ts';
import { goHome } from '../route.ts';
import { useSession } from '../session.ts';
import type { Friend, Room } from '../types.ts';
import { titleOf } from '../words.ts';
import { Members } from './Members.tsx';

/** Who is in a room, and what one may do about it. */
export function RoomDialog({ room, onClose }: { room: Room; onClose: () => void }) {
  const role = room.viewerMembership?.role;
  const mayManage = room.kind !== 'DIRECT' && (role === 'OWNER' || role === 'ADMIN');
  return (
    <Dialog title={titleOf(room)} onClose={onClose}>
      <Members roomId={room.id} role={room.kind === 'DIRECT' ? undefined : role} onClose={onClose} />
      {mayManage && <AddMembers roomId={room.id} />}
      {mayManage && <Rename room={room} />}
      <WaysOut room={room} onClose={onClose} />
    </Dialog>
  );
}

function AddMembers({ roomId }: { roomId: string }) {
  const apollo = useApolloClient();
  const [chosen, setChosen] = useState<readonly Friend[]>([]);
  const add = useAction(async () => {
    const userIds = chosen.map(({ id }) => id);
    await apollo.mutate({
      mutation: AddMembersDocument,
      variables: { id: roomId, userIds },
      refetchQueries: [MembersDocument],
    });
    setChosen([]);
  });
  return (
    <details>
      <summary>Add people</summary>
      <PeoplePicker label="People to add" chosen={chosen} onChange={setChosen} />
      <Problem text={add.problem} />
      <button type="button" disabled={add.busy || chosen.length === 0} onClick={() => void add.run()}>
        Add them
      </button>
    </details>
  );
}

function Rename({ room }: { room: Room }) {
  const apollo = useApolloClient();
  const save = useAction(async (form: FormData) => {
    const input = { chatroomId: room.id, name: optionalTextOf(form, 'name'), topic: optionalTextOf(form, 'topic') };
    await apollo.mutate({ mutation: UpdateRoomDocument, variables: { input } });
  });
  return (
    <details>
      <summary>Name and topic</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save.run(new FormData(event.currentTarget));
        }}
      >
        <Field label="Name" name="name" maxLength={100} defaultValue={room.name ?? ''} dir="auto" />
        <Field label="Topic" name="topic" maxLength={500} defaultValue={room.topic ?? ''} dir="auto" />
        <Problem text={save.problem} />
        <button disabled={save.busy}>Save</button>
      </form>
    </details>
  );
}

function WaysOut({ room, onClose }: { room: Room; onClose: () => void }) {
  const session = useSession();
  const apollo = useApolloClient();
  const gone = () => {
    forgetRoom(session, room.id);
    goHome();
    onClose();
  };
  const variables = { id: room.id };
  const leave = useAction(async () => {
    await apollo.mutate({ mutation: LeaveRoomDocument, variables });
    gone();
  });
  const remove = useAction(async () => {
    await apollo.mutate({ mutation: DeleteRoomDocument, variables });
    gone();
  });
  const direct = room.kind === 'DIRECT';
  const what = direct ? 'Hide this conversation' : 'Delete this room for everyone';
  return (
    <div className="ways-out">
      {!direct && (
        <button type="button" disabled={leave.busy} onClick={() => void leave.run()}>
          Leave
        </button>
      )}
      {(direct || room.viewerMembership?.role === 'OWNER') && (
        <button
          type="button"
          className="danger"
          disabled={remove.busy}
          onClick={() => {
            // What is hidden comes back with the next message; what is deleted does not.
            if (direct || confirm(`${what}? All that was said in it goes.`)) void remove.run();
          }}
        >
          {what}
        </button>
      )}
      <Problem text={leave.problem ?? remove.problem} />
    </div>
  );
}
