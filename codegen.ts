import type { CodegenConfig } from '@graphql-codegen/cli';

type Output = CodegenConfig['generates'][string];

/** Returns the options that generate the types of some documents. */
const typesOf = (documents: string, config: object = {}): Output => ({
  documents,
  preset: 'client',
  presetConfig: { fragmentMasking: false },
  config: { enumsAsTypes: true, useTypeImports: true, strictScalars: true, scalars: { DateTime: 'string' }, ...config },
});

/** The types of the documents that the examples, tests and @parley/server send. */
const config: CodegenConfig = {
  schema: 'schema.graphql',
  ignoreNoDocuments: true,
  importExtension: '.ts',
  generates: {
    'examples/web/generated/': typesOf('examples/web/src/{documents,admin}/*.graphql'),
    'examples/app/src/generated/': typesOf('examples/app/src/*.graphql', {
      nonOptionalTypename: true,
      skipTypeNameForRoot: true,
    }),
    'server-sdk/generated/': typesOf('server-sdk/documents/*.graphql', {
      documentMode: 'string',
      onlyOperationTypes: true,
      skipTypename: true,
    }),
    'test/generated/': typesOf('test/documents/*.graphql', { documentMode: 'string' }),
  },
};

export default config;
