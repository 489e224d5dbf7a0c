import type { CodegenConfig } from '@graphql-codegen/cli';

/** The types of the documents that the examples, tests and @parley/server send. */
const config: CodegenConfig = {
  schema: 'schema.graphql',
  ignoreNoDocuments: true,
  importExtension: '.ts',
  generates: {
    'examples/web/generated/': {
      documents: 'examples/web/src/{documents,admin}/*.graphql',
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: { enumsAsTypes: true, useTypeImports: true, strictScalars: true, scalars: { DateTime: 'string' } },
    },
    'examples/app/src/generated/': {
      documents: 'examples/app/src/*.graphql',
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        useTypeImports: true,
        nonOptionalTypename: true,
        skipTypeNameForRoot: true,
        strictScalars: true,
        scalars: { DateTime: 'string' },
      },
    },
    'server-sdk/generated/': {
      documents: 'server-sdk/documents/*.graphql',
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: 'string',
        enumsAsTypes: true,
        useTypeImports: true,
        onlyOperationTypes: true,
        skipTypename: true,
        strictScalars: true,
        scalars: { DateTime: 'string' },
      },
    },
    'test/generated/': {
      documents: 'test/documents/*.graphql',
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: 'string',
        enumsAsTypes: true,
        useTypeImports: true,
        strictScalars: true,
        scalars: { DateTime: 'string' },
      },
    },
  },
};

export default config;
