import { useApolloClient } from '@apollo/client/react';
import { useState } from 'react';
import { ChangePasswordDocument, SetAvatarDocument, UpdateProfileDocument } from '../../generated/graphql.ts';
import { AvatarPicker } from '../files/AvatarPicker.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { Field } from '../parts/Field.tsx';
import { optionalTextOf, textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { useSession } from '../session.ts';
import type { Viewer } from '../types.ts';
import { Sessions } from './Sessions.tsx';

/** The viewer's profile, notifications, password and sessions, and the button to sign out. */
export function ProfileDialog({ viewer, onClose }: { viewer: Viewer; onClose: () => void }) {
  const apollo = useApolloClient();
  const { signOut } = useSession();
  const leave = useAction(signOut);
  return (
    <Dialog title="Your profile" onClose={onClose}>
      <AvatarPicker
        name={viewer.user.nickname}
        seed={viewer.user.username}
        image={viewer.user.avatar}
        onSet={(attachmentId) => apollo.mutate({ mutation: SetAvatarDocument, variables: { attachmentId } })}
      />
      <Profile viewer={viewer} onDone={onClose} />
      <Notifications />
      <Password username={viewer.user.username} />
      <Sessions />
      <Problem text={leave.problem} />
      <button type="button" aria-disabled={leave.busy} onClick={() => void leave.run()}>
        Sign out
      </button>
    </Dialog>
  );
}

function Profile({ viewer, onDone }: { viewer: Viewer; onDone: () => void }) {
  const apollo = useApolloClient();
  const [email, setEmail] = useState(viewer.email ?? '');
  const isNewEmail = email.trim() !== (viewer.email ?? '');
  const save = useAction(async (form: FormData) => {
    await apollo.mutate({
      mutation: UpdateProfileDocument,
      variables: {
        input: {
          nickname: textOf(form, 'nickname'),
          bio: optionalTextOf(form, 'bio'),
          ...(isNewEmail
            ? { email: optionalTextOf(form, 'email'), currentPassword: textOf(form, 'currentPassword') || null }
            : {}),
          friendPolicy: form.get('approval') ? 'APPROVAL' : 'OPEN',
        },
      },
    });
    onDone();
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void save.run(new FormData(event.currentTarget));
      }}
    >
      <p className="quiet username">Your username is {viewer.user.username}.</p>
      <Field label="Display name" name="nickname" defaultValue={viewer.user.nickname} dir="auto" required />
      <Field label="About you" name="bio" defaultValue={viewer.user.bio ?? ''} dir="auto" />
      <Field
        label="E-mail address"
        name="email"
        type="email"
        value={email}
        onChange={(event) => setEmail(event.currentTarget.value)}
        hint={
          viewer.email && !viewer.emailVerified
            ? 'Not confirmed yet. Open the link in the e-mail that we sent you.'
            : undefined
        }
      />
      {isNewEmail && (
        <Field
          label="Current password, to change the address"
          name="currentPassword"
          type="password"
          autoComplete="current-password"
        />
      )}
      <label className="check">
        <input type="checkbox" name="approval" defaultChecked={viewer.friendPolicy === 'APPROVAL'} /> Ask me before
        someone becomes my friend
      </label>
      <Problem text={save.problem} />
      <button className="primary" aria-disabled={save.busy}>
        Save
      </button>
    </form>
  );
}

/**
 * Turns on notifications, which appear while the page is open and hidden. The browser asks the user once for
 * permission.
 */
function Notifications() {
  const [permission, setPermission] = useState('Notification' in window ? Notification.permission : 'denied');
  if (permission === 'granted')
    return <p className="quiet">This browser notifies you of new messages while the page is hidden.</p>;
  if (permission === 'denied')
    return <p className="quiet">Notifications are turned off for this page in the settings of your browser.</p>;
  return (
    <button type="button" onClick={() => void Notification.requestPermission().then(setPermission)}>
      Notify me of new messages
    </button>
  );
}

function Password({ username }: { username: string }) {
  const apollo = useApolloClient();
  const [done, setDone] = useState(false);
  const change = useAction(async (form: FormData) => {
    await apollo.mutate({
      mutation: ChangePasswordDocument,
      variables: { currentPassword: textOf(form, 'current') || null, newPassword: textOf(form, 'new') },
    });
    setDone(true);
  });
  return (
    <details>
      <summary>Change your password</summary>
      {done ? (
        <p role="status">Your password was changed. Your other sessions have ended.</p>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void change.run(new FormData(event.currentTarget));
          }}
        >
          {/* Password managers read the account's name from this field. */}
          <input hidden readOnly autoComplete="username" value={username} />
          <Field label="Current password" name="current" type="password" autoComplete="current-password" />
          <Field label="New password" name="new" type="password" autoComplete="new-password" minLength={8} required />
          <Problem text={change.problem} />
          <button aria-disabled={change.busy}>Change password</button>
        </form>
      )}
    </details>
  );
}
