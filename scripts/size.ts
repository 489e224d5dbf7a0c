/** Prints the size of the client in a browser: bundled with graphql-ws, minified and compressed. */
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

for (const entry of ['index', 'apollo', 'urql']) {
  const { outputFiles } = await build({
    entryPoints: [`client/${entry}.ts`],
    ...{ bundle: true, minify: true, write: false, format: 'esm', platform: 'browser', target: 'es2022' },
    // Excludes packages that an application installs anyway.
    external: ['graphql', '@apollo/client', '@apollo/client/*', '@urql/*', 'react'],
  });
  const code = outputFiles[0]?.contents ?? new Uint8Array();
  const name = `@parley/client${entry === 'index' ? '' : `/${entry}`}`;
  console.log(`${name}: ${code.length} bytes minified, ${gzipSync(code, { level: 9 }).length} compressed`);
}
