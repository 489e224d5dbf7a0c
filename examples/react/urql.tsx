import { createChatClient } from '@parley/client';
import { ChatProvider } from '@parley/client/react';
import { urqlCache } from '@parley/client/react/urql';
import { cacheOptions, chatExchange } from '@parley/client/urql';
import { Client } from '@urql/core';
import { cacheExchange } from '@urql/exchange-graphcache';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { getAccessToken, url } from './session.ts';

const client = createChatClient({ url, getAccessToken });
const urql = new Client({ url, exchanges: [cacheExchange(cacheOptions), chatExchange(client)] });

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <ChatProvider client={client} cache={urqlCache(urql)}>
    <App />
  </ChatProvider>,
);
