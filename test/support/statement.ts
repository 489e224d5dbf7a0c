import pg from 'pg';

/** Runs one statement over a connection of its own, and answers its rows. */
export async function runStatement<Row extends object = any>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A server that ends meanwhile would end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
