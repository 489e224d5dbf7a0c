import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const sourceOf = (path: string) => `${fileURLToPath(new URL('../../client/', import.meta.url))}${path}`;

/** `npm run build` writes the page to the folder that the server serves. `vite dev examples/web` works beside `npm start`. */
export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  resolve: {
    // Uses the sources of the client, so that `vite dev` shows their changes at once.
    alias: [
      { find: /^@parley\/client$/, replacement: sourceOf('index.ts') },
      { find: /^@parley\/client\/(apollo|urql|react\/apollo|react\/urql)$/, replacement: sourceOf('$1.ts') },
      { find: /^@parley\/client\/react$/, replacement: sourceOf('react/index.ts') },
    ],
  },
  build: {
    outDir: fileURLToPath(new URL('../../dist/web', import.meta.url)),
    emptyOutDir: true,
    rolldownOptions: { input: ['index.html', 'admin.html'].map((name) => `${import.meta.dirname}/${name}`) },
    chunkSizeWarningLimit: 700,
    // The page's content security policy allows no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/graphql': { target: 'http://localhost:4000', ws: true }, '/files': 'http://localhost:4000' } },
});
