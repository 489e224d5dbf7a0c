import { isChatError } from '@parley/client';
import { useEffect, useState } from 'react';
import { wordError } from './errors.ts';
import { announceSession, findSession, onOtherSession, openSession, type Session } from './session.ts';

interface SignedIn {
  /** Null if nobody is signed in. */
  session: Session | null | 'asking';
  /** Why it is not known yet whether somebody is signed in. */
  problem: string | null;
  /** Opens the session of the cookies. Call it after a sign-in. */
  changed: () => Promise<void>;
}

/** Opens the session to which the cookies of this browser belong. */
export function useSignedIn(): SignedIn {
  const [session, setSession] = useState<Session | null | 'asking'>('asking');
  const [problem, setProblem] = useState<string | null>(null);

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
  return { session, problem, changed };
}
