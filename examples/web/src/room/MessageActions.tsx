import { useChat } from '@parley/client/react';
import { type FocusEvent, useRef, useState } from 'react';
import { DeleteMessageDocument } from '../../generated/graphql.ts';
import { Icon } from '../parts/Icon.tsx';
import { Menu } from '../parts/Menu.tsx';
import { useToasts } from '../parts/Toast.tsx';
import type { Message } from '../types.ts';
import { nameOf } from '../words.ts';
import type { Doing } from './MessageRow.tsx';
import { useReact } from './Reactions.tsx';

const EMOJIS = ['👍', '❤️', '😂', '🎉', '😮', '🌱'];

interface Props {
  message: Message;
  own: boolean;
  current: boolean;
  mayDelete: boolean;
  onDo: (doing: Doing, message: Message) => void;
}

/** A button beside a message that opens the menu of its actions. Escape or a change of the focus closes the menu. */
export function MessageActions({ message, own, current, mayDelete, onDo }: Props) {
  const [open, setOpen] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const { cache } = useChat();
  const react = useReact(message.id);
  const toasts = useToasts();
  const remove = () => {
    // The button is removed with the message. Moves the focus to the list, because the focus would be lost.
    opener.current?.closest<HTMLElement>('.history')?.focus();
    toasts.remove(message.id, 'Message deleted.', () => cache.mutate(DeleteMessageDocument, { id: message.id }));
  };

  const leave = (event: FocusEvent) => {
    if (!event.currentTarget.contains(event.relatedTarget)) setOpen(false);
  };
  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  return (
    <div className="actions" onBlur={leave}>
      <button
        ref={opener}
        type="button"
        className="icon-button"
        tabIndex={current ? 0 : -1}
        aria-expanded={open}
        aria-label={`Actions for message ${message.number} by ${own ? 'you' : nameOf(message.sender)}`}
        onClick={() => setOpen(!open)}
      >
        <Icon name="more" />
      </button>
      {open && (
        <Menu opener={opener.current} label="Actions" onClose={() => setOpen(false)}>
          <div className="emojis">
            {EMOJIS.map((emoji) => (
              <button
                key={emoji}
                type="button"
                aria-label={`React with ${emoji}`}
                onClick={() => {
                  react(emoji, true);
                  close();
                }}
              >
                {emoji}
              </button>
            ))}
          </div>
          <button type="button" onClick={() => onDo('reply', message)}>
            <Icon name="reply" /> Reply
          </button>
          {!own && (
            <button
              type="button"
              onClick={() => {
                onDo('unread', message);
                close();
              }}
            >
              <Icon name="unread" /> Mark as unread
            </button>
          )}
          {own && (
            <button type="button" onClick={() => onDo('edit', message)}>
              <Icon name="edit" /> Edit
            </button>
          )}
          {mayDelete && (
            <button type="button" className="danger" onClick={remove}>
              <Icon name="trash" /> Delete
            </button>
          )}
        </Menu>
      )}
    </div>
  );
}
