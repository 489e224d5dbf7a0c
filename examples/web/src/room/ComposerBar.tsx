import { Icon } from '../parts/Icon.tsx';
import { nameOf } from '../words.ts';
import type { Draft } from './Composer.tsx';
import { Quote } from './Quote.tsx';

/** Shows above the text field whether the text replies to a message or edits one. */
export function ComposerBar({ draft, onCancel }: { draft: NonNullable<Draft>; onCancel: () => void }) {
  const editing = draft.doing === 'edit';
  return (
    <div className="draft" data-editing={editing || undefined}>
      <p className="draft-label">
        <Icon name={draft.doing} />
        {editing ? (
          'Edit your message'
        ) : (
          <span>
            Reply to <bdi>{nameOf(draft.message.sender)}</bdi>
          </span>
        )}
      </p>
      <button
        type="button"
        className="icon-button"
        aria-label={editing ? 'Cancel edit' : 'Cancel reply'}
        onClick={onCancel}
      >
        <Icon name="close" />
      </button>
      {!editing && <Quote message={draft.message} />}
    </div>
  );
}
