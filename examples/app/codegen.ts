import type { CodegenConfig } from '@graphql-codegen/cli';

/** `npx graphql-codegen` writes typed documents into src/generated/. */
const config: CodegenConfig = {
  // The schema of the installed client. For that of a server in development: http://localhost:4000/graphql.
  schema: 'node_modules/@parley/client/dist/schema.graphql',
  documents: 'src/**/*.graphql',
  importExtension: '.ts',
  generates: {
    'src/generated/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        // Optimistic answers need the names of types.
        nonOptionalTypename: true,
        skipTypeNameForRoot: true,
        useTypeImports: true,
        // A scalar that is not listed here is an error, not `unknown`.
        strictScalars: true,
        scalars: { DateTime: 'string' },
      },
    },
  },
};

export default config;
