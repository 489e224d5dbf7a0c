import { useQuery } from '@apollo/client/react';
import { AdminAuditDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';
import { appendTo } from './appendTo.ts';
import { MoreButton } from './MoreButton.tsx';

/** The actions of admins, newest first. */
export function Audit() {
  const { data, error, fetchMore } = useQuery(AdminAuditDocument, { fetchPolicy: 'no-cache' });
  const page = data?.admin?.auditEntries;
  return (
    <>
      <Problem text={error && wordError(error)} />
      {page?.nodes.length === 0 && <p>No admin has acted yet.</p>}
      {page && page.nodes.length > 0 && (
        <div className="admin-table" tabIndex={0} role="region" aria-label="Audit log">
          <table>
            <thead>
              <tr>
                {['Time', 'Admin', 'Action', 'Subject', 'Reason'].map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {page.nodes.map(({ id, createdAt, actorName, action, subject, reason }) => (
                <tr key={id}>
                  <td>{new Date(createdAt).toLocaleString()}</td>
                  <td>{actorName}</td>
                  <td>{action}</td>
                  <td>{subject}</td>
                  <td>{reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <MoreButton
        pageInfo={page?.pageInfo}
        load={(after) => fetchMore({ variables: { after }, updateQuery: appendTo('auditEntries') })}
      />
    </>
  );
}
