import pg from 'pg';

/** Runs one statement over a separate connection. Returns its rows. */
export async function runStatement<Row extends object = any>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // Without a listener, a server that ends during the statement would crash this process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
