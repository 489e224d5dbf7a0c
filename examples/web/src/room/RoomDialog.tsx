import { useApolloClient } from '@apollo/client/react';
import { useRef, useState } from 'react';
import {
  AddMembersDocument,
  DeleteRoomDocument,
  LeaveRoomDocument,
  MembersDocument,
  SetRoomAvatarDocument,
  UpdateRoomDocument,
} from '../../generated/graphql.ts';
import { AvatarPicker } from '../files/AvatarPicker.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { optionalTextOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useToasts } from '../parts/Toast.tsx';
import { useAction } from '../parts/useAction.ts';
import { PeoplePicker } from '../people/PeoplePicker.tsx';
import { goHome } from '../route.ts';
import type { Friend, Room } from '../types.ts';
import { titleOf } from '../words.ts';
import { Members } from './Members.tsx';

/** The members of a room, and the actions that the viewer may perform. */
export function RoomDialog({ room, onClose }: { room: Room; onClose: () => void }) {
  const apollo = useApolloClient();
  const role = room.viewerMembership?.role;
  const mayManage = room.kind !== 'DIRECT' && (role === 'OWNER' || role === 'ADMIN');
  return (
    <Dialog title={titleOf(room)} onClose={onClose}>
      {mayManage && (
        <AvatarPicker
          name={titleOf(room)}
          seed={room.id}
          image={room.avatar}
          onSet={(attachmentId) =>
            apollo.mutate({ mutation: SetRoomAvatarDocument, variables: { id: room.id, attachmentId } })
          }
        />
      )}
      <Members roomId={room.id} role={room.kind === 'DIRECT' ? undefined : role} onClose={onClose} />
      {mayManage && <AddMembers roomId={room.id} />}
      {mayManage && <Rename room={room} />}
      <LeaveActions room={room} onClose={onClose} />
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
      <button
        type="button"
        aria-disabled={add.busy || chosen.length === 0}
        onClick={() => void (chosen.length > 0 && add.run())}
      >
        Add members
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
        <button aria-disabled={save.busy}>Save</button>
      </form>
    </details>
  );
}

function LeaveActions({ room, onClose }: { room: Room; onClose: () => void }) {
  const apollo = useApolloClient();
  const { remove } = useToasts();
  const variables = { id: room.id };
  const title = titleOf(room);
  const goHomeAndClose = () => {
    goHome();
    onClose();
  };
  const leave = () => {
    remove(room.id, `You have left ${title}.`, () => apollo.mutate({ mutation: LeaveRoomDocument, variables }));
    goHomeAndClose();
  };
  const hide = () => {
    remove(room.id, `Hidden until the next message: ${title}.`, () =>
      apollo.mutate({ mutation: DeleteRoomDocument, variables }),
    );
    goHomeAndClose();
  };
  if (room.kind === 'DIRECT')
    return (
      <div className="ways-out">
        <button type="button" onClick={hide}>
          Hide this conversation
        </button>
      </div>
    );
  return (
    <div className="ways-out">
      <button type="button" onClick={leave}>
        Leave
      </button>
      {room.viewerMembership?.role === 'OWNER' && <DeleteForEveryone roomId={room.id} onDone={goHomeAndClose} />}
    </div>
  );
}

/** Deletes a room after a confirmation, because a deleted room cannot be restored. */
function DeleteForEveryone({ roomId, onDone }: { roomId: string; onDone: () => void }) {
  const apollo = useApolloClient();
  const [asking, setAsking] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const destroy = useAction(async () => {
    await apollo.mutate({ mutation: DeleteRoomDocument, variables: { id: roomId } });
    onDone();
  });
  return (
    <>
      <button ref={opener} type="button" className="danger" aria-expanded={asking} onClick={() => setAsking(!asking)}>
        Delete this room for everyone
      </button>
      {asking && (
        <div className="question" role="group" aria-labelledby="delete-question">
          <p id="delete-question">This also deletes all messages in the room. It cannot be undone.</p>
          <button type="button" className="danger" aria-disabled={destroy.busy} onClick={() => void destroy.run()}>
            Delete room
          </button>
          <button
            type="button"
            autoFocus
            onClick={() => {
              setAsking(false);
              opener.current?.focus();
            }}
          >
            Cancel
          </button>
          <Problem text={destroy.problem} />
        </div>
      )}
    </>
  );
}
