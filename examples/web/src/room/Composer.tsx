import { useChat } from '@parley/client/react';
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { EditMessageDocument } from '../../generated/graphql.ts';
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
  const sendable = text.trim() !== '' && length.problem === null;
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

  const submit = () => {
    if (!sendable) return;
    // Without this, the focus would be lost when the empty text field disables the button.
    box.current?.focus();
    if (editing) {
      void edit.run(draft.message.id, text);
    } else {
      send(text, {
        ...(draft ? { replyToId: draft.message.id } : {}),
        ...(findLinks(text).length > 0 ? { linkPreviews: 'AUTO' } : {}),
      });
      setText('');
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
      <Problem text={length.problem ?? edit.problem} />
      <div className="composer-line">
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
