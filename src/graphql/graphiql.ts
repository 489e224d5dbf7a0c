import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { GraphiQLOptions } from 'graphql-yoga';

/**
 * Options of the GraphiQL page. Adds `connectionParams`: Yoga's page passes this option to graphql-ws, but Yoga's types
 * lack it.
 */
export type GraphiqlPage = GraphiQLOptions & { connectionParams?: object };

/**
 * Returns the options of the GraphiQL page: its credentials, and example tabs that a new user runs from left to right.
 *
 * With `accessToken`, the page sends that token with every request. Without `accessToken`, the user pastes a token into
 * the headers of a tab. GraphiQL sends these headers over SSE but not over WebSocket, so subscriptions then use SSE.
 */
export function graphiqlOptions(example: {
  username: string;
  password: string;
  room: string;
  accessToken: string | null;
}): GraphiqlPage {
  const { username, password, room, accessToken } = example;
  const credentials = accessToken === null ? null : { authorization: `Bearer ${accessToken}` };
  return {
    title: 'Parley',
    shouldPersistHeaders: false,
    ...(credentials
      ? { subscriptionsProtocol: 'WS', connectionParams: credentials, additionalHeaders: credentials }
      : { subscriptionsProtocol: 'SSE', defaultHeaders: '{ "Authorization": "Bearer TOKEN" }' }),
    // Variables have default values in the query text, because GraphiQL shows the variables of a tab only after the
    // editor has loaded.
    defaultTabs: [signInText(username, password), sendText(room), subscribeText(room), pageText(room), errorText].map(
      (query) => ({ query }),
    ),
  };
}

/**
 * Renders the GraphiQL page, and disables the CSS transform of its tabs.
 *
 * The transform moves a tab when the tab receives the focus. Pressing the mouse button therefore moved the tab away
 * from the pointer, and the browser ignored the first click on a tab.
 */
export function renderGraphiqlPage(options?: GraphiQLOptions): string {
  const style = '<style>.graphiql-tab { transform: none !important; }</style>';
  return renderGraphiQL(options).replace('</head>', `${style}</head>`);
}

const signInText = (name: string, password: string) => `# 1. Sign in. Ctrl-Enter runs a tab.
# With demo data this page is signed in as ann for 15
# minutes after each reload. Otherwise enter this in
# Headers below: { "Authorization": "Bearer TOKEN" }
mutation SignIn(
  $usernameOrEmail: String! = "${name}"
  $password: String! = "${password}"
) {
  signIn(
    input: {
      usernameOrEmail: $usernameOrEmail
      password: $password
    }
  ) {
    accessToken
    viewer {
      user { username }
      chatrooms(first: 5) {
        nodes {
          kind
          name
          opponent { nickname }
          unreadCount
          lastMessage { body }
        }
      }
    }
  }
}
`;

const sendText = (room: string) => `# 2. Send a message. The response arrives after the
# commit. Add a clientMessageId to the input and run
# this twice: only one message is created.
mutation Send(
  $room: ID! = "${room}"
  $body: String! = "Hello from GraphiQL"
) {
  sendMessage(
    input: { chatroomId: $room, body: $body }
  ) {
    deduplicated
    message { number createdAt cursor }
  }
}
`;

const subscribeText = (room: string) => `# 3. Subscribe. Run this, and run "Send" in a second
# window, because GraphiQL ends a subscription when you
# leave its tab. Copy a cursor from an event and add
# after: "…" below to resume there without a gap.
subscription Listen(
  $room: ID! = "${room}"
) {
  messageAdded(chatroomId: $room) {
    cursor
    message { number body sender { nickname } }
  }
}
`;

const pageText = (room: string) => `# 4. Page back through 2,000 messages. Pass startCursor
# as "before" to get the previous page.
query Page(
  $room: ID! = "${room}"
  $before: String
) {
  chatroom(id: $room) {
    name
    memberCount
    messages(last: 5, before: $before) {
      nodes { number body sender { nickname } }
      pageInfo { hasPreviousPage startCursor }
    }
  }
}
`;

const errorText = `# 5. An error. Each error has a code in its extensions
# and a message that says what to do. A room that you
# may not see gives the same error as a missing one.
mutation Fail($room: ID! = "nowhere") {
  sendMessage(
    input: { chatroomId: $room, body: "Anybody there?" }
  ) {
    message { number }
  }
}
`;
