import { useQuery } from '@apollo/client/react';
import { AdminHealthDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';

const LEVELS = { FAULT: 'Fault', WARNING: 'Warning', OK: 'OK' } as const;

/** Results of the checks of the server, the worst first. */
export function Health() {
  const { data, error, loading, refetch } = useQuery(AdminHealthDocument, { fetchPolicy: 'no-cache' });
  const findings = data?.admin?.health ?? [];
  const levels = Object.keys(LEVELS) as (keyof typeof LEVELS)[];
  const sorted = levels.flatMap((level) => findings.filter((finding) => finding.level === level));
  return (
    <>
      <button type="button" aria-disabled={loading} onClick={() => void refetch()}>
        Check again
      </button>
      <Problem text={error && wordError(error)} />
      <p role="status">{loading ? 'Checking. This takes a few seconds.' : `Parley ${data?.server?.version ?? ''}`}</p>
      <ul className="admin-findings">
        {sorted.map(({ level, text }) => (
          <li key={text} className={level.toLowerCase()}>
            <strong>{LEVELS[level]}</strong> {text}
          </li>
        ))}
      </ul>
    </>
  );
}
