/** Changes a cursor into one of another database, as after a restored backup. */
export function ofAnotherDatabase(cursor: string): string {
  const parts = Buffer.from(cursor, 'base64url').toString().split(' ');
  parts[1] = 'AAAAAAAA';
  return Buffer.from(parts.join(' ')).toString('base64url');
}
