import { useChat } from '@parley/client/react';
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { EditMessageDocument } from '../../generated/graphql.ts';
import { AttachButton } from '../files/AttachButton.tsx';
import { PendingFileList } from '../files/PendingFileList.tsx';
import { MAX_FILES, type PendingFile, stateOf, usePendingFiles } from '../files/pendingFiles.tsx';
import { pastedFiles, useFileDrop } from '../files/useFileDrop.ts';
import { useFilesAllowed } from '../files/useFilesAllowed.ts';
import { Icon } from '../parts/Icon.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import type { Message, OpenRoom, Room } from '../types.ts';
import { titleOf } from '../words.ts';
import { ComposerBar } from './ComposerBar.tsx';
import { useDraft } from './drafts.ts';
import { wordLength } from './length.ts';
import { findLinks } from './links.ts';
import type { Doing } from './MessageRow.tsx';

/** The message to which the text replies, or which it edits; null for a new message. */
export type Draft = { doing: Exclude<Doing, 'unread'>; message: Message } | null;

interface Props {
  room: Room;
  chatroom: Pick<OpenRoom, 'send' | 'setTyping'>;
  draft: Draft;
  onDraft: (draft: Draft) => void;
  /** Called for the up arrow in an empty text field. */
  onEditLast: () => void;
}

/** A form to write messages. Enter sends, Shift+Enter adds a line break, Escape cancels a reply or an edit. */
export function Composer({ room, chatroom: { send, setTyping }, draft, onDraft, onEditLast }: Props) {
  const { cache } = useChat();
  const box = useRef<HTMLTextAreaElement>(null);
  const editing = draft?.doing === 'edit';
  const [written, setWritten] = useDraft(room.id);
  // A separate state, so that an edit does not overwrite the draft.
  const [edited, setEdited] = useState('');
  const text = editing ? edited : written;
  const setText = editing ? setEdited : setWritten;
  const length = wordLength(text);
  const pending = usePendingFiles(room.id);
  const [leftOut, setLeftOut] = useState(0);
  const hasFiles = editing ? draft.message.attachments.length > 0 : pending.files.length > 0;
  const uploaded = editing || pending.files.every((each) => stateOf(each) === 'ready');
  const sendable = (text.trim() !== '' || hasFiles) && uploaded && length.problem === null;
  const edit = useAction(async (id: string, body: string) => {
    await cache.mutate(EditMessageDocument, { id, body });
    leaveDraft();
  });

  useEffect(() => {
    // On a touch screen, a new room does not focus the text field, because the keyboard would cover the room.
    if (draft || matchMedia('(pointer: fine)').matches) box.current?.focus();
    if (draft?.doing === 'edit') setEdited(draft.message.body ?? '');
  }, [draft]);

  const leaveDraft = () => onDraft(null);

  const addFiles =
    useFilesAllowed() && !editing
      ? (files: File[]) => {
          setLeftOut(pending.add(files));
          box.current?.focus();
        }
      : null;
  const removeFile = (key: string) => {
    pending.remove(key);
    setLeftOut(0);
    // The button is removed, which would lose the focus.
    box.current?.focus();
  };
  const retryFile = (file: PendingFile) => {
    pending.retry(file);
    box.current?.focus();
  };
  const isDraggedOver = useFileDrop(box, addFiles);

  const submit = () => {
    if (!sendable) return;
    // Without this, the focus would be lost when the empty text field disables the button.
    box.current?.focus();
    if (editing) {
      void edit.run(draft.message.id, text);
    } else {
      send(text, {
        ...(draft ? { replyToId: draft.message.id } : {}),
        ...(hasFiles ? { attachmentIds: pending.take() } : {}),
        ...(findLinks(text).length > 0 ? { linkPreviews: 'AUTO' } : {}),
      });
      setText('');
      setLeftOut(0);
      onDraft(null);
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // In an input method editor, for example for Japanese, Enter chooses a word.
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && draft) {
      leaveDraft();
    } else if (event.key === 'ArrowUp' && text === '' && !draft) {
      event.preventDefault();
      onEditLast();
    }
  };
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {draft && <ComposerBar draft={draft} onCancel={leaveDraft} />}
      {!editing && <PendingFileList files={pending.files} onRemove={removeFile} onRetry={retryFile} />}
      <Problem text={length.problem ?? edit.problem ?? wordLeftOut(leftOut)} />
      {isDraggedOver && (
        <p className="drop-here">
          <Icon name="attach" /> Drop the files here to attach them
        </p>
      )}
      <div className="composer-line">
        {addFiles && <AttachButton onFiles={addFiles} />}
        <textarea
          ref={box}
          dir="auto"
          rows={1}
          aria-label={`Message to ${titleOf(room)}`}
          placeholder="Message"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            if (!editing) setTyping(event.target.value !== '');
          }}
          onKeyDown={onKeyDown}
          onPaste={(event) => {
            const files = pastedFiles(event.clipboardData);
            if (files.length === 0 || !addFiles) return;
            event.preventDefault();
            addFiles(files);
          }}
        />
        <button
          className="icon-button send"
          aria-label={editing ? 'Save edit' : 'Send'}
          disabled={!sendable || edit.busy}
        >
          <Icon name={editing ? 'check' : 'send'} />
        </button>
      </div>
      {length.count && <p className="count quiet">{length.count}</p>}
    </form>
  );
}

function wordLeftOut(count: number): string | null {
  if (count === 0) return null;
  const files = count === 1 ? '1 file was' : `${count} files were`;
  return `A message can have at most ${MAX_FILES} files. ${files} left out: send them in another message.`;
}
