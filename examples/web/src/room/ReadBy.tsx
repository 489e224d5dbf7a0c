import { nameList } from '../parts/sentences.tsx';
import { Tip } from '../parts/Tip.tsx';
import type { Person } from '../types.ts';

export interface Reading {
  readers: readonly Person[];
  /** Number of other members; 0 if the room has more than 100 members, for which there are no read marks. */
  others: number;
  byAll: boolean;
  direct: boolean;
}

/** Shows how many members have read a message of the viewer. A tip has their names. */
export function ReadBy({ reading: { readers, others, byAll, direct } }: { reading: Reading }) {
  if (direct) return <span className="seen">Read</span>;
  const sentence = byAll || readers.length === others ? 'Read by everyone' : `Read by ${readers.length} of ${others}`;
  if (readers.length === 0) return <span className="seen">{sentence}</span>;
  return (
    <Tip content={() => nameList(readers)}>
      {(tipId) => (
        <button type="button" className="seen" aria-describedby={tipId}>
          {sentence}
        </button>
      )}
    </Tip>
  );
}
