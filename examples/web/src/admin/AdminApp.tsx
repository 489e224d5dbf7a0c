import { ApolloProvider, useQuery } from '@apollo/client/react';
import { SignIn } from '../account/SignIn.tsx';
import { AmIAdminDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Mark } from '../parts/Mark.tsx';
import { Problem } from '../parts/Problem.tsx';
import { Waiting } from '../parts/Waiting.tsx';
import { SessionContext, useSession } from '../session.ts';
import { useSignedIn } from '../useSignedIn.ts';
import { Audit } from './Audit.tsx';
import { Health } from './Health.tsx';
import { Rooms } from './Rooms.tsx';
import { Services } from './Services.tsx';
import { useSection } from './useSection.ts';
import { Users } from './Users.tsx';
import { Webhooks } from './Webhooks.tsx';

/** The page for admins. Users without the grant see how to get it. */
export function AdminApp() {
  const { session, problem, changed } = useSignedIn();
  if (session === 'asking')
    return (
      <main>
        <Waiting>{problem ?? 'Loading…'}</Waiting>
      </main>
    );
  if (session === null)
    return (
      <main className="account">
        <h1>
          <Mark />
          Administration
        </h1>
        <section className="card" aria-label="Sign in">
          <SignIn onSignedIn={changed} />
        </section>
      </main>
    );
  return (
    <SessionContext value={session}>
      <ApolloProvider client={session.apollo}>
        <Sections />
      </ApolloProvider>
    </SessionContext>
  );
}

const SECTIONS = {
  users: { title: 'Users', Content: Users },
  rooms: { title: 'Rooms', Content: Rooms },
  services: { title: 'Services', Content: Services },
  webhooks: { title: 'Webhooks', Content: Webhooks },
  health: { title: 'Health', Content: Health },
  audit: { title: 'Audit log', Content: Audit },
} as const;

type Name = keyof typeof SECTIONS;
const NAMES = Object.keys(SECTIONS) as [Name, ...Name[]];

function Sections() {
  const session = useSession();
  const { data, error } = useQuery(AmIAdminDocument, { fetchPolicy: 'network-only' });
  const section = useSection(NAMES);
  const { title, Content } = SECTIONS[section];
  return (
    <div className="admin">
      <header className="admin-head">
        <h1>
          <Mark />
          Administration
        </h1>
        <a href="/">Chat</a>
        <button type="button" onClick={() => void session.signOut()}>
          Sign out
        </button>
      </header>
      {data?.admin ? (
        <>
          <nav aria-label="Sections">
            {Object.entries(SECTIONS).map(([name, each]) => (
              <a key={name} href={`#${name}`} aria-current={name === section ? 'page' : undefined}>
                {each.title}
              </a>
            ))}
          </nav>
          <main>
            <h2 tabIndex={-1}>{title}</h2>
            <Content />
          </main>
        </>
      ) : (
        <main>
          <Problem text={error && wordError(error)} />
          {data && (
            <p>
              You are not an admin of this server. The operator makes you one with{' '}
              <code>npm run admin -- grant USERNAME</code>.
            </p>
          )}
          {!data && !error && <p role="status">Loading…</p>}
        </main>
      )}
    </div>
  );
}
