import { createChatClient } from '@parley/client';
import { ChatProvider } from '@parley/client/react';
import { urqlCache } from '@parley/client/react/urql';
import { chatCacheExchange, chatExchange } from '@parley/client/urql';
import { Client } from '@urql/core';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { getAccessToken, url } from './session.ts';

const client = createChatClient({ url, getAccessToken });
const urql = new Client({ url, exchanges: [chatCacheExchange(), chatExchange(client)] });

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <ChatProvider client={client} cache={urqlCache(urql)}>
    <App />
  </ChatProvider>,
);
