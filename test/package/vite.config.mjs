// Bundles src/main.ts as a program that exports its functions, and lists the modules in it.
export default {
  logLevel: 'warn',
  plugins: [
    {
      name: 'modules',
      generateBundle(_, bundle) {
        const modules = Object.values(bundle).flatMap((chunk) => Object.keys(chunk.modules ?? {}));
        this.emitFile({ type: 'asset', fileName: 'modules.json', source: JSON.stringify(modules) });
      },
    },
  ],
  build: {
    outDir: 'bundle',
    target: 'es2022',
    rollupOptions: {
      input: 'src/main.ts',
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: 'main.js' },
    },
  },
};
