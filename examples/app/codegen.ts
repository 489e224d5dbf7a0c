import type { CodegenConfig } from '@graphql-codegen/cli';

/** Configuration of `npx graphql-codegen`, which writes typed documents into src/generated/. */
const config: CodegenConfig = {
  // The schema of the installed client. To use a server in development instead: http://localhost:4000/graphql.
  schema: 'node_modules/@parley/client/dist/schema.graphql',
  documents: 'src/**/*.graphql',
  importExtension: '.ts',
  generates: {
    'src/generated/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        // Optimistic results must contain type names.
        nonOptionalTypename: true,
        skipTypeNameForRoot: true,
        useTypeImports: true,
        // Reports a scalar that is not listed here as an error, instead of typing it `unknown`.
        strictScalars: true,
        // By default, an ID in variables may also be a number.
        scalars: { ID: 'string', DateTime: 'string' },
      },
    },
  },
};

export default config;
