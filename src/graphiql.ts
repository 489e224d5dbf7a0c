import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { GraphiQLOptions } from 'graphql-yoga';
import type { ServerNode } from './context.ts';
import { DEMO_PASSWORD } from './demo/people.ts';
import { DEMO_ROOM, signInDemo } from './demo/seed.ts';
import { encodeId } from './ids.ts';

/**
 * Settings of the GraphiQL page: its tabs, which a newcomer runs from left to right, and its credentials.
 *
 * With demo data, each load of the page is signed in as a demo user whose password is public, so that nothing has to be
 * copied. Otherwise the tabs' own headers carry the token, which GraphiQL sends with SSE only. `connectionParams` is
 * missing from Yoga's types; its page passes the value on to graphql-ws.
 *
 * @param demo whether the page may sign in a demo user; never in production
 */
export async function graphiqlOptions(
  node: ServerNode,
  { demo: mayUseDemo }: { demo: boolean },
): Promise<GraphiQLOptions & { connectionParams?: object }> {
  const demo = mayUseDemo ? await signInDemo(node) : null;
  const room = encodeId('Chatroom', DEMO_ROOM);
  const credentials = demo && { authorization: `Bearer ${demo.accessToken}` };
  return {
    title: 'Parley',
    shouldPersistHeaders: false,
    ...(credentials
      ? { subscriptionsProtocol: 'WS', connectionParams: credentials, additionalHeaders: credentials }
      : { subscriptionsProtocol: 'SSE', defaultHeaders: '{ "Authorization": "Bearer TOKEN" }' }),
    // Values stand in the text as defaults: GraphiQL shows the variables of the open tab only once its editor is loaded.
    defaultTabs: [
      signInText(demo?.username ?? 'ann', demo?.password ?? DEMO_PASSWORD),
      sendText(room),
      subscribeText(room),
      pageText(room),
      errorText,
    ].map((query) => ({ query })),
  };
}

/**
 * Renders the GraphiQL page. GraphiQL moves a tab by a transform as soon as the tab has the focus. A press gave it the focus,
 * the tab moved away from the pointer, and the release was no click: the first click on a tab was ignored.
 */
export function renderGraphiqlPage(options?: GraphiQLOptions): string {
  const style = '<style>.graphiql-tab { transform: none !important; }</style>';
  return renderGraphiQL(options).replace('</head>', `${style}</head>`);
}

const signInText = (name: string, password: string) => `# 1. Sign in. Ctrl-Enter runs a tab.
# With demo data this page is ann already, for 15
# minutes from each reload. Otherwise write into the
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

const sendText = (room: string) => `# 2. Send a message. The answer comes once it is
# committed. Add a clientMessageId to the input and run
# it twice: there is still one message.
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

const subscribeText = (room: string) => `# 3. Listen. Run this, and "Send" in a second window:
# GraphiQL ends a subscription when its tab is left.
# Take a cursor from what you see and add
# after: "…" below: it resumes there, without a gap.
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
# as "before" for the page before this one.
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

const errorText = `# 5. An error. Each has a code in its extensions, and a
# message that says what to do. What one may not see
# does not exist: the answer is the same.
mutation Fail($room: ID! = "nowhere") {
  sendMessage(
    input: { chatroomId: $room, body: "Anybody there?" }
  ) {
    message { number }
  }
}
`;
