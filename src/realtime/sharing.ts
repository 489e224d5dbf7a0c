import { createHash } from 'node:crypto';
import { type DocumentNode, type ExecutionArgs, Kind, visit } from 'graphql';
import type { MaybePromise } from './pull.ts';

/** What some subscribers ask alike of each event. */
export interface Question {
  /** The answer has been seen to depend on who asks. */
  personal: boolean;
  /** Number of open subscriptions that ask it. */
  subscribers: number;
}

/** Does once what many subscribers would each do for the same event. */
export interface Sharing {
  /** Whether anything is shared. */
  isOn: boolean;
  /**
   * Loads something about an event, or answers what was loaded for it a moment ago: at once, if it is there.
   *
   * @param what tells apart what is loaded about the event
   */
  once<Value>(event: object, what: unknown, load: () => Promise<Value>): MaybePromise<Value>;
  /** What is there already of what `once` loads. */
  known(event: object, what: unknown): unknown;
  /**
   * The same for those who do not wait. A promise for each of a thousand subscribers, in each of the functions that pass it
   * on, would cost more than what it brings.
   *
   * @param load must not fail
   * @param onLoaded called once it is there, where null was answered
   */
  ask<Value extends object>(
    event: object,
    what: unknown,
    load: () => Promise<Value>,
    onLoaded?: () => void,
  ): Value | null;
  /** Resolves when what is being loaded about events is there, or has failed; null where nothing of the first one is. */
  underWay(events: readonly object[]): Promise<unknown> | null;
  /**
   * What a subscription asks of each event; null where nothing is shared.
   *
   * @returns the question, and a function to call once, when the subscription has ended
   */
  questionOf(args: ExecutionArgs): { question: Question; release: () => void } | null;
  /** Number of questions that are remembered. */
  size(): number;
}

/** What is loaded about an event, or has been. */
interface Loaded {
  value: unknown;
  /** Until the value is there. */
  loading: Promise<unknown> | null;
  /** Who is told then. */
  waiting: (() => void)[];
}

/** For so long the answer of one moment is as good as another: what changed since is an event that follows. */
const SHARED_MS = 500;

/** The sharing of one node. Nothing is shared where `on` is false; the answers are the same. */
export function createSharing({ on }: { on: boolean }): Sharing {
  const moments = new WeakMap<object, Map<unknown, Loaded>>();
  const documents = new WeakMap<DocumentNode, { variables: readonly string[]; questions: Map<string, Question> }>();
  let size = 0;

  function momentsOf(event: object): Map<unknown, Loaded> {
    let all = moments.get(event);
    if (!all) moments.set(event, (all = new Map<unknown, Loaded>()));
    return all;
  }

  function find(event: object, what: unknown, load: () => Promise<unknown>): Loaded {
    const all = momentsOf(event);
    let loaded = all.get(what);
    if (!loaded) all.set(what, (loaded = begin(load, () => all.delete(what))));
    return loaded;
  }

  /** About an event, and about what has been loaded of it. */
  function loadingOf(event: object): Promise<unknown>[] {
    return [...(moments.get(event)?.values() ?? [])].flatMap(
      ({ loading, value }) => loading ?? (value instanceof Object ? loadingOf(value) : []),
    );
  }

  function begin(load: () => Promise<unknown>, forget: () => void): Loaded {
    const began = performance.now();
    const loading = load();
    const loaded: Loaded = { value: undefined, loading, waiting: [] };
    // As long as it took, at least: subscribers come as far apart as the database is slow, and if each of them asked it
    // anew, it would become slower still. A failure is nobody's but theirs who ran into it.
    loading.then((value) => {
      loaded.value = value;
      loaded.loading = null;
      setTimeout(forget, Math.max(SHARED_MS, performance.now() - began)).unref();
      for (const onLoaded of loaded.waiting.splice(0)) onLoaded();
    }, forget);
    return loaded;
  }

  return {
    isOn: on,
    once<Value>(event: object, what: unknown, load: () => Promise<Value>): MaybePromise<Value> {
      if (!on) return load();
      const { loading, value } = find(event, what, load);
      return (loading ?? value) as MaybePromise<Value>;
    },
    known: (event, what) => moments.get(event)?.get(what)?.value,
    ask<Value extends object>(event: object, what: unknown, load: () => Promise<Value>, onLoaded?: () => void) {
      const loaded = find(event, what, load);
      if (!loaded.loading) return loaded.value as Value;
      if (onLoaded) loaded.waiting.push(onLoaded);
      return null;
    },
    underWay([first, ...others]) {
      const loading = first ? loadingOf(first) : [];
      return loading.length > 0 ? Promise.allSettled([...loading, ...others.flatMap(loadingOf)]) : null;
    },
    questionOf(args) {
      if (!on) return null;
      let document = documents.get(args.document);
      if (!document) {
        documents.set(
          args.document,
          (document = { variables: variablesBelowRoot(args.document), questions: new Map() }),
        );
      }
      const { variables, questions } = document;
      const given = variables.map((name) => args.variableValues?.[name]);
      const key = digest(JSON.stringify([args.operationName, ...given]));
      const question = questions.get(key) ?? { personal: false, subscribers: 0 };
      if (question.subscribers === 0) {
        questions.set(key, question);
        size += 1;
      }
      question.subscribers += 1;
      return {
        question,
        release() {
          question.subscribers -= 1;
          if (question.subscribers > 0) return;
          questions.delete(key);
          size -= 1;
        },
      };
    },
    size: () => size,
  };
}

/**
 * The variables that a subscription's answers can depend on. Those of its root field alone, such as the cursor to begin
 * after, decide which events there are and not what is said of one.
 */
function variablesBelowRoot(document: DocumentNode): string[] {
  const names = new Set<string>();
  const Variable = { Variable: (node: { name: { value: string } }) => void names.add(node.name.value) };
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) visit(definition, Variable);
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    for (const directive of definition.directives ?? []) visit(directive, Variable);
    for (const selection of definition.selectionSet.selections) {
      for (const directive of selection.directives ?? []) visit(directive, Variable);
      if (selection.kind === Kind.FIELD && selection.selectionSet) visit(selection.selectionSet, Variable);
      if (selection.kind === Kind.INLINE_FRAGMENT) visit(selection.selectionSet, Variable);
    }
  }
  return [...names].sort();
}

/** Variables may be as long as a message of the client, and this key lives as long as the subscription. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
