import graphql from '@graphql-eslint/eslint-plugin';
import { defineConfig } from 'eslint/config';

/** How the names of events end. */
const events = [
  'Added',
  'Appeared',
  'CaughtUp',
  'Changed',
  'Deleted',
  'Edited',
  'Joined',
  'Left',
  'Notice',
  'Seen',
  'Snapshot',
  'Updated',
  'Vanished',
];

// Lints the schema. Code is linted by oxlint, see oxlint.config.js.
export default defineConfig({
  files: ['schema.graphql'],
  languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: 'schema.graphql' } } },
  plugins: { '@graphql-eslint': graphql },
  extends: [graphql.configs['flat/schema-recommended'], graphql.configs['flat/schema-relay']].map(({ rules }) => ({
    rules,
  })),
  rules: {
    // Connections have `nodes` beside their edges. Objects that only the admin API lists are not of type Node.
    '@graphql-eslint/relay-edge-types': [
      'error',
      { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
    ],
    // `User.username` is what it is called.
    '@graphql-eslint/no-typename-prefix': 'off',
    '@graphql-eslint/require-description': [
      'error',
      {
        types: true,
        rootField: true,
        FieldDefinition: true,
        InputValueDefinition: true,
        EnumValueDefinition: true,
        DirectiveDefinition: true,
      },
    ],
    // Whatever can be found again has an id; lists, answers and events cannot.
    '@graphql-eslint/strict-id-in-types': [
      'error',
      {
        exceptions: {
          suffixes: ['Connection', 'Edge', 'Payload', ...events],
          types: [
            ...['FileTicket', 'HttpHeader', 'Image', 'NoticeAuthor', 'PageInfo', 'Presence', 'ReactionGroup', 'Server'],
            ...[
              'Admin',
              'Bot',
              'ChatroomHealth',
              'HealthFinding',
              'ServiceToken',
              'StorageUse',
              'WebhookAttempt',
              'WebhookChatroom',
            ],
          ],
        },
      },
    ],
  },
});
