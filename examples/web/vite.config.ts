import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** `npm run build` writes the page to where the server looks for it; `vite dev examples/web` works beside `npm start`. */
export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  resolve: {
    // The client as a package of its own would be found under these names.
    alias: [
      { find: /^parley\/client$/, replacement: fileURLToPath(new URL('../../client/index.ts', import.meta.url)) },
      {
        find: /^parley\/client\/apollo$/,
        replacement: fileURLToPath(new URL('../../client/apollo.ts', import.meta.url)),
      },
    ],
  },
  build: {
    outDir: fileURLToPath(new URL('../../dist/web', import.meta.url)),
    emptyOutDir: true,
    chunkSizeWarningLimit: 700,
    // The page's content security policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/graphql': { target: 'http://localhost:4000', ws: true } } },
});
