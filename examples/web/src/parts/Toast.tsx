import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { wordError } from '../errors.ts';

/** Time to undo an action. The timer is stopped while the pointer or the focus is on the toast. */
const UNDO_MS = 8_000;

interface Toasts {
  /** Ids of items that are hidden, until their removal is undone or has been executed. */
  removed: ReadonlySet<string>;
  /** Hides an item at once. Calls `work` when the removal can no longer be undone. */
  remove: (id: string, sentence: string, work: () => Promise<unknown>) => void;
  /** Shows an error or a notice. */
  report: (sentence: string) => void;
}

interface Removal {
  id: string;
  sentence: string;
  work: () => Promise<unknown>;
}

const ToastContext = createContext<Toasts | null>(null);

export function useToasts(): Toasts {
  const toasts = use(ToastContext);
  if (!toasts) throw new Error('useToasts must be called inside a ToastProvider.');
  return toasts;
}

/** Shows one sentence at a time at the bottom of the page, such as a removal that can be undone. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [removal, setRemoval] = useState<Removal | null>(null);
  const [sentence, setSentence] = useState<string | null>(null);
  const [removed, setRemoved] = useState<ReadonlySet<string>>(new Set());
  const [held, setHeld] = useState(false);
  const current = useRef<Removal | null>(null);

  const show = useCallback((id: string) => {
    setRemoved((before) => new Set([...before].filter((each) => each !== id)));
  }, []);
  const commit = useCallback(() => {
    const item = current.current;
    if (!item) return;
    current.current = null;
    setRemoval(null);
    item
      .work()
      .catch((error: unknown) => setSentence(wordError(error)))
      .finally(() => show(item.id));
  }, []);
  const value = useMemo<Omit<Toasts, 'removed'>>(
    () => ({
      remove(id, text, work) {
        commit();
        current.current = { id, sentence: text, work };
        setRemoval(current.current);
        setRemoved((before) => new Set([...before, id]));
      },
      report: setSentence,
    }),
    [],
  );
  const undo = () => {
    if (removal) show(removal.id);
    current.current = null;
    setRemoval(null);
    setHeld(false);
  };

  useEffect(() => {
    if (!removal || held) return undefined;
    const timer = setTimeout(commit, UNDO_MS);
    return () => clearTimeout(timer);
  }, [removal, held]);
  // Closing the page commits a pending removal, because the user has already seen it as done.
  useEffect(() => {
    addEventListener('pagehide', commit);
    return () => {
      removeEventListener('pagehide', commit);
      commit();
    };
  }, []);

  const text = removal?.sentence ?? sentence;
  return (
    <ToastContext value={{ ...value, removed }}>
      {children}
      {text !== null && (
        <div
          className="notice floating"
          role={removal ? 'status' : 'alert'}
          onPointerEnter={() => setHeld(true)}
          onPointerLeave={() => setHeld(false)}
          onFocus={() => setHeld(true)}
          onBlur={() => setHeld(false)}
        >
          <span dir="auto">{text}</span>
          {removal ? (
            <button type="button" className="link" onClick={undo}>
              Undo
            </button>
          ) : (
            <button type="button" className="link" onClick={() => setSentence(null)}>
              Dismiss
            </button>
          )}
        </div>
      )}
    </ToastContext>
  );
}
