import { ApolloProvider } from '@apollo/client/react';
import { ChatProvider } from '@parley/client/react';
import { isChatError } from '@parley/client';
import { useEffect, useState } from 'react';
import { ResetPassword } from './account/ResetPassword.tsx';
import { SignedOut } from './account/SignedOut.tsx';
import { VerifyEmail } from './account/VerifyEmail.tsx';
import { Chat } from './Chat.tsx';
import { wordError } from './errors.ts';
import { PendingFilesProvider } from './files/pendingFiles.tsx';
import { ToastProvider } from './parts/Toast.tsx';
import { Waiting } from './parts/Waiting.tsx';
import { announceSession, findSession, onOtherSession, openSession, type Session, SessionContext } from './session.ts';

/**
 * Tokens from the link of an e-mail. They are removed from the URL, so that neither history nor a copied link contains
 * them.
 */
const link = takeLink();

/** Shows the chat if the user is signed in, and the sign-in page otherwise. */
export function App() {
  const [session, setSession] = useState<Session | null | 'asking'>('asking');
  const [problem, setProblem] = useState<string | null>(null);
  const [resetToken, setResetToken] = useState(link.resetPassword);

  const enter = async () => {
    const viewerId = await findSession();
    setSession(viewerId === null ? null : openSession(viewerId, () => setSession(null)));
  };
  useEffect(() => {
    // While the server is failing, it is unknown whether the user is signed in. Each attempt retries with backoff.
    const keepTrying = async (error: unknown): Promise<void> => {
      if (isChatError(error, 'INTERNAL_SERVER_ERROR')) {
        setProblem(wordError(error));
        await enter().catch(keepTrying);
      } else setSession(null);
    };
    void enter().catch(keepTrying);
    return onOtherSession(() => location.reload());
  }, []);
  useEffect(() => {
    if (session !== 'asking') return () => session?.close();
    return undefined;
  }, [session]);

  const changed = async () => {
    announceSession();
    await enter();
  };
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
