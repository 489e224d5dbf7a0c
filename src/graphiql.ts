import { createHash } from 'node:crypto';
import { renderGraphiQL as render } from '@graphql-yoga/render-graphiql';
import type { GraphiQLOptions } from 'graphql-yoga';
import type { ServerNode } from './context.ts';
import { DEMO_ROOM, signInDemo } from './demo/seed.ts';
import { encodeId } from './ids.ts';

type Tab = NonNullable<GraphiQLOptions['defaultTabs']>[number];

/** What the tabs are filled with. */
interface Filling {
  /** Comment lines over the first tab: who one is, and where to look for what is missing. */
  hint: string;
  usernameOrEmail: string;
  password: string;
  room: string;
  accessToken: string;
}

/** Where the demo's people are not: what to put where. */
const PLACEHOLDERS: Filling = {
  hint: `# Write your name and password into the Variables below.
# No account yet? There is a signUp mutation too. In the
# tabs after this one, replace TOKEN in the Headers by
# accessToken, ROOM by the id of a room, from here or
# from createChatroom.`,
  usernameOrEmail: 'NAME',
  password: 'PASSWORD',
  room: 'ROOM',
  accessToken: 'TOKEN',
};

/**
 * What GraphiQL opens with: tabs that a newcomer runs from left to right.
 *
 * Where the demo's people are, each load of the page signs in as one of them, so that nothing has to be copied. That
 * holds for every address that the server listens on, not the loopback alone: the password is public, and so are the
 * demo's people. In a container the two cannot be told apart anyway. In production there is no page at all.
 */
export async function graphiqlOptions(node: ServerNode): Promise<GraphiQLOptions & { initialHeaders: string }> {
  const demo = await signInDemo(node);
  const filling: Filling = demo
    ? {
        hint: `# The Headers below are those of ${demo.username} already, in every
# tab; reload the page when they are 15 minutes old. Try
# another of the demo's people: ben, chloe, daichi.`,
        usernameOrEmail: demo.username,
        password: demo.password,
        room: encodeId('Chatroom', DEMO_ROOM),
        accessToken: demo.accessToken,
      }
    : PLACEHOLDERS;
  const headers = json({ authorization: `Bearer ${filling.accessToken}` });
  return {
    title: 'Parley',
    subscriptionsProtocol: 'WS',
    // Not in the tabs, which the browser keeps: so each load has a token of its own, whatever was there yesterday.
    shouldPersistHeaders: false,
    defaultHeaders: headers,
    initialHeaders: headers,
    defaultTabs: tabs(filling),
  };
}

/**
 * The page of GraphiQL, with what cannot be said in options that are JSON: a WebSocket opens with the Headers of the
 * tab, and the browser keeps tabs under a name of their own.
 */
export function renderGraphiQL(options: GraphiQLOptions = {}): string {
  const name = `parley ${createHash('sha256').update(JSON.stringify(options.defaultTabs)).digest('hex').slice(0, 8)} `;
  // A function, because a text would have its dollar signs replaced.
  return render(options).replace(START, () => `${extendPage(name)}\n${START}`);
}

const START = 'YogaGraphiQL.renderYogaGraphiQL(';

const extendPage = (name: string) => `
  const renderPage = YogaGraphiQL.renderYogaGraphiQL;
  YogaGraphiQL.renderYogaGraphiQL = (root, options) => {
    // Others have a GraphiQL on this port too; and new tabs have to show where older ones were kept.
    const name = ${JSON.stringify(name)};
    const storage = {
      getItem: (key) => localStorage.getItem(name + key),
      setItem: (key, value) => localStorage.setItem(name + key, value),
      removeItem: (key) => localStorage.removeItem(name + key),
      get length() { return localStorage.length; },
      clear: () => localStorage.clear(),
    };
    // Without this, GraphiQL opens the first tab without its variables.
    if (!storage.getItem('graphiql:tabState'))
      storage.setItem('graphiql:variables', options.defaultTabs[0].variables);
    let headers = options.defaultHeaders;
    renderPage(root, {
      ...options,
      storage,
      onEditHeaders: (text) => { headers = text; },
      connectionParams: () => {
        const entries = Object.entries(JSON.parse(headers.trim() || '{}'));
        return Object.fromEntries(entries.map(([key, value]) => [key.toLowerCase(), value]));
      },
      // Yoga would write the query into the address, where a reload takes it for one more tab.
      onEditQuery: () => {},
    });
  };`;

function tabs({ hint, usernameOrEmail, password, room }: Filling): Tab[] {
  return [
    { query: signInText(hint), variables: json({ usernameOrEmail, password }) },
    { query: SEND, variables: json({ room, body: 'Hello from GraphiQL', clientMessageId: null }) },
    { query: LISTEN, variables: json({ room, after: null }) },
    { query: PAGE, variables: json({ room, before: null }) },
    { query: FAIL, variables: json({ room: 'nowhere' }) },
  ];
}

function json(value: object): string {
  return JSON.stringify(value, null, 2);
}

const signInText = (hint: string) => `# 1. Sign in. Ctrl-Enter runs a tab.
${hint}
mutation SignIn(
  $usernameOrEmail: String!
  $password: String!
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
          id
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

const SEND = `# 2. Send a message. The answer comes once it is
# committed. Give it a clientMessageId of your choice and
# run it twice: there is still one message.
mutation Send(
  $room: ID!
  $body: String!
  $clientMessageId: String
) {
  sendMessage(
    input: {
      chatroomId: $room
      body: $body
      clientMessageId: $clientMessageId
    }
  ) {
    deduplicated
    message { number createdAt cursor }
  }
}
`;

const LISTEN = `# 3. Listen, over a WebSocket. Run this here and Send in
# a second window: the message appears. Put a cursor of
# a message into "after": it goes on from there.
subscription Listen($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) {
    cursor
    message { number body sender { nickname } }
  }
}
`;

const PAGE = `# 4. Page back through a long history. Put startCursor
# into "before" for the page before this one.
query Page($room: ID!, $before: String) {
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

const FAIL = `# 5. An error. Each has a code in its extensions, and a
# message that says what to do. Try a room of others:
# what one may not see does not exist.
mutation Fail($room: ID!) {
  sendMessage(
    input: { chatroomId: $room, body: "Anybody there?" }
  ) {
    message { number }
  }
}
`;
