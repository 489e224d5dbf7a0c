/** Returns the text of a form field. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

/** Returns the trimmed text of an optional form field, or null if it is empty. */
export function optionalTextOf(form: FormData, name: string): string | null {
  return textOf(form, name).trim() || null;
}
