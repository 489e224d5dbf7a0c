import { Field } from '../parts/Field.tsx';
import { textOf } from '../parts/form.ts';

/** A search field. The search starts when the form is sent. */
export function SearchField({
  label,
  hint,
  onSearch,
}: {
  label: string;
  hint: string;
  onSearch: (text: string) => void;
}) {
  return (
    <form
      role="search"
      className="admin-search"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch(textOf(new FormData(event.currentTarget), 'search').trim());
      }}
    >
      <Field label={label} hint={hint} name="search" type="search" maxLength={100} />
      <button>Search</button>
    </form>
  );
}
