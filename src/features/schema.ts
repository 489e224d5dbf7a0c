import type { GraphQLSchema } from 'graphql';
import './accounts/schema.ts';
import './administration/schema.ts';
import './administration/mutationsSchema.ts';
import './attachments/avatarSchema.ts';
import './attachments/schema.ts';
import './attachments/uploadSchema.ts';
import './bots/schema.ts';
import './chatrooms/schema.ts';
import './chatroomList/schema.ts';
import './chatroomEvents/schema.ts';
import './relationships/schema.ts';
import './chatrooms/membersSchema.ts';
import './messages/schema.ts';
import './incomingWebhooks/schema.ts';
import './linkPreviews/schema.ts';
import './presence/schema.ts';
import './push/schema.ts';
import './reactions/schema.ts';
import './readReceipts/schema.ts';
import './search/schema.ts';
import './server/schema.ts';
import './services/schema.ts';
import './systemMessages/schema.ts';
import './typing/schema.ts';
import './users/schema.ts';
import './viewerEvents/schema.ts';
import './appEvents/schema.ts';
import './webhooks/schema.ts';
import { builder } from '../graphql/builder.ts';

// The schema depends only on the code. A process builds it once, because building takes 50 ms.
const schema = builder.toSchema();

/** Returns the GraphQL schema of all features. */
export function buildSchema(): GraphQLSchema {
  return schema;
}
