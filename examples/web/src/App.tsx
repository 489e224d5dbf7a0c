import { ApolloProvider } from '@apollo/client/react';
import { ChatProvider } from '@parley/client/react';
import { useState } from 'react';
import { ResetPassword } from './account/ResetPassword.tsx';
import { SignedOut } from './account/SignedOut.tsx';
import { VerifyEmail } from './account/VerifyEmail.tsx';
import { Chat } from './Chat.tsx';
import { PendingFilesProvider } from './files/pendingFiles.tsx';
import { ToastProvider } from './parts/Toast.tsx';
import { Waiting } from './parts/Waiting.tsx';
import { SessionContext } from './session.ts';
import { useSignedIn } from './useSignedIn.ts';

/**
 * Tokens from the link of an e-mail. They are removed from the URL, so that neither history nor a copied link contains
 * them.
 */
const link = takeLink();

/** Shows the chat if the user is signed in, and the sign-in page otherwise. */
export function App() {
  const { session, problem, changed } = useSignedIn();
  const [resetToken, setResetToken] = useState(link.resetPassword);
  return (
    <>
      {link.verifyEmail && <VerifyEmail token={link.verifyEmail} kind="confirm" />}
      {link.restoreEmail && <VerifyEmail token={link.restoreEmail} kind="restore" />}
      {resetToken ? (
        <ResetPassword token={resetToken} onDone={() => setResetToken(null)} />
      ) : session === 'asking' ? (
        <main>
          <Waiting>{problem ?? 'Loading…'}</Waiting>
        </main>
      ) : session === null ? (
        <SignedOut onSignedIn={changed} />
      ) : (
        <SessionContext value={session}>
          <ApolloProvider client={session.apollo}>
            <ChatProvider client={session.chat} cache={session.cache}>
              <ToastProvider>
                <PendingFilesProvider>
                  <Chat />
                </PendingFilesProvider>
              </ToastProvider>
            </ChatProvider>
          </ApolloProvider>
        </SessionContext>
      )}
    </>
  );
}

function takeLink(): Record<'verifyEmail' | 'restoreEmail' | 'resetPassword', string | null> {
  const params = new URLSearchParams(location.search);
  const found = {
    verifyEmail: params.get('verifyEmail'),
    restoreEmail: params.get('restoreEmail'),
    resetPassword: params.get('resetPassword'),
  };
  if (location.search) history.replaceState(null, '', location.pathname + location.hash);
  return found;
}
