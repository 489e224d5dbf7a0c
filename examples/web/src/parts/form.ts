/** What was written into a field of a form. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

/** The same for a field that may be left empty: null then. */
export function optionalTextOf(form: FormData, name: string): string | null {
  return textOf(form, name).trim() || null;
}
