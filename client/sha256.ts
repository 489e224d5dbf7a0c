/** The part of `node:crypto` that hashes in chunks. Browsers have no counterpart. */
interface NodeCrypto {
  createHash(name: 'sha256'): { update(bytes: Uint8Array): unknown; digest(encoding: 'hex'): string };
}

/**
 * Returns the SHA-256 of a file in lower-case hexadecimal. Node reads the file in chunks. A browser reads all of it into
 * memory, because `crypto.subtle` takes no chunks. JavaScript libraries that do need seven times as long.
 */
export async function sha256Of(file: Blob, signals: readonly AbortSignal[]): Promise<string> {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  // An import would break bundlers for browsers.
  const node = process?.getBuiltinModule?.('node:crypto') as NodeCrypto | undefined;
  if (!node) return hexOf(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  const hash = node.createHash('sha256');
  for await (const chunk of file.stream()) {
    for (const signal of signals) signal.throwIfAborted();
    hash.update(chunk);
  }
  return hash.digest('hex');
}

function hexOf(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
