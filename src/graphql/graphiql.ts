import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { GraphiQLOptions } from 'graphql-yoga';

/** Options of the GraphiQL page. Yoga's types lack `connectionParams`, which its page passes on to graphql-ws. */
export type GraphiqlPage = GraphiQLOptions & { connectionParams?: object };

/**
 * Returns the options of the GraphiQL page: its credentials, and example tabs that a new user runs from left to right.
 *
 * With an access token, the user does not have to copy one. Without it, the user pastes a token into the headers of the tabs.
 * GraphiQL sends those headers with SSE only, so subscriptions then use SSE.
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
    // Values are defaults in the text, because GraphiQL shows the variables of a tab only after its editor has loaded.
    defaultTabs: [signInText(username, password), sendText(room), subscribeText(room), pageText(room), errorText].map(
      (query) => ({ query }),
    ),
  };
}

/**
 * Renders the GraphiQL page without the tab transform of GraphiQL.
 *
 * GraphiQL moves a tab by a transform as soon as the tab has the focus. Pressing the mouse button moved the tab away from the
 * pointer, so that the release was no click. The first click on a tab was ignored.
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
