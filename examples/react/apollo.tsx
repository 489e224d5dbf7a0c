import { ApolloClient, InMemoryCache } from '@apollo/client';
import { createChatClient } from '@parley/client';
import { cachePolicies, createChatLink } from '@parley/client/apollo';
import { ChatProvider } from '@parley/client/react';
import { apolloCache } from '@parley/client/react/apollo';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { getAccessToken, url } from './session.ts';

const client = createChatClient({ url, getAccessToken });
const apollo = new ApolloClient({ link: createChatLink(client), cache: new InMemoryCache(cachePolicies) });

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <ChatProvider client={client} cache={apolloCache(apollo)}>
    <App />
  </ChatProvider>,
);
