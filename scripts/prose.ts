/**
 * Lists prose that deserves a second look: words and openings that STYLE rules 1–4 avoid, and sentences over 30 words.
 * An aid, never a gate: the exit code is always 0. Arguments name folders or files, to narrow the list.
 */
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Kind, parse, visit } from 'graphql';
import ts from 'typescript';

/** A piece of prose, such as a paragraph or a comment, and the line on which it starts. */
interface Passage {
  text: string;
  line: number;
}

const SCOPE = ['src', 'client', 'test', 'examples', 'bench', 'scripts', 'docs'];
const FILES = ['schema.graphql', 'README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'];
/** Code that is generated or installed. */
const SKIPPED = /(^|\/)(node_modules|dist|generated|__generated__|rivals)(\/|$)/;
/** Documents written by `npm run schema`, and this file, which contains the words itself. */
const SKIPPED_FILES = ['docs/schema.md', 'docs/errors.md', 'docs/scopes.md', 'scripts/prose.ts'];
const MAX_WORDS = 30;

/** Free relatives at the start of a sentence. A question is not one. */
const OPENING =
  /(?<=^|[.:;!?] )(What|Whatever|Who|Whoever|Whose|Whom|Of whom|Which|How (?:much|many|long|often|far|old|large)|How|Where|So long)\b(?![^.!?]*\?)/g;
const WORDS =
  /\b(whoever|whatever|whosever|wherever|anew|meanwhile|answers|told|tells?|says?|said|hears?|heard|no more than|so long as|as long as it takes|as often|so many|any more|of which|of whom|by which|looks? at|takes? for|thereby|nevertheless|nudges?|sweeps?|swept|mailbox(?:es)?|healed|personal)\b/gi;

const paths = process.argv.slice(2).map((path) => path.replace(/^\.\//, '').replace(/\/$/, ''));
const counts = new Map<string, number>();

for (const file of await listFiles(paths.length > 0 ? paths : [...SCOPE, ...FILES])) {
  for (const passage of extractPassages(file, await readFile(file, 'utf8'))) {
    for (const { line, finding } of inspect(passage)) {
      const folder = folderOf(file);
      counts.set(folder, (counts.get(folder) ?? 0) + 1);
      console.log(`${file}:${line}  ${finding}`);
    }
  }
}
console.log();
for (const [folder, count] of [...counts].sort()) console.log(`${String(count).padStart(5)}  ${folder}`);
console.log(`${String([...counts.values()].reduce((sum, count) => sum + count, 0)).padStart(5)}  in all`);

/** Returns the first two folders of a path, such as `src/features`, or the path itself for a file at the top. */
function folderOf(file: string): string {
  return file.split('/').slice(0, -1).slice(0, 2).join('/') || file;
}

async function listFiles(roots: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(
    roots.map(async (root) => {
      if (!(await stat(root)).isDirectory()) return [root];
      return (await readdir(root, { recursive: true })).map((name) => join(root, name));
    }),
  );
  const isProse = (file: string) => !SKIPPED.test(file) && !SKIPPED_FILES.includes(file);
  return lists.flat().filter((file) => isProse(file) && /\.(m?[jt]s|tsx|md|graphql)$/.test(file));
}

function extractPassages(file: string, text: string): Passage[] {
  if (file.endsWith('.md')) return readParagraphs(text);
  return file.endsWith('.graphql') ? readDescriptions(text) : readComments(file, text);
}

/** Returns the comments of a program. Consecutive line comments are one passage. */
function readComments(file: string, code: string): Passage[] {
  const program = ts.createSourceFile(file, code, ts.ScriptTarget.Latest);
  const ranges = new Map<number, ts.CommentRange>();
  const collect = (node: ts.Node) => {
    // The text of JSX may contain slashes, which are no comment.
    if (node.kind === ts.SyntaxKind.JsxText) return;
    const found = [ts.getLeadingCommentRanges(code, node.pos), ts.getTrailingCommentRanges(code, node.end)];
    for (const range of found.flatMap((each) => each ?? [])) ranges.set(range.pos, range);
    for (const child of node.getChildren(program)) collect(child);
  };
  collect(program);

  const passages: (Passage & { end: number; isLine: boolean })[] = [];
  for (const { pos, end, kind } of [...ranges.values()].sort((a, b) => a.pos - b.pos)) {
    const isLine = kind === ts.SyntaxKind.SingleLineCommentTrivia;
    const text = isLine ? code.slice(pos + 2, end) : code.slice(pos + 2, end - 2).replace(/^\s*\*+/gm, '');
    const line = program.getLineAndCharacterOfPosition(pos).line + 1;
    const endLine = program.getLineAndCharacterOfPosition(end).line + 1;
    const previous = passages.at(-1);
    if (isLine && previous?.isLine && previous.end === line - 1) {
      previous.text += `\n${text}`;
      previous.end = endLine;
    } else {
      passages.push({ text, line, end: endLine, isLine });
    }
  }
  return passages.filter(({ text }) => !/^\s*(eslint|@ts|#__PURE__)/.test(text));
}

function readDescriptions(text: string): Passage[] {
  const passages: Passage[] = [];
  visit(parse(text), {
    [Kind.STRING]: ({ value, loc }) => void passages.push({ text: value, line: loc?.startToken.line ?? 1 }),
  });
  return passages;
}

/** Returns the paragraphs, list items, headings and table cells of a document, without its code blocks. */
function readParagraphs(text: string): Passage[] {
  const passages: Passage[] = [];
  let isCode = false;
  let continues = false;
  for (const [index, line] of text.split('\n').entries()) {
    const isFence = /^\s*(```|<!--)/.test(line);
    if (line.includes('```')) isCode = !isCode;
    const startsNew = /^\s*([-*#|>]|\d+\.)/.test(line);
    if (isFence || isCode || line.trim() === '') {
      continues = false;
      continue;
    }
    const cells = line.startsWith('|') ? line.split('|') : [line.replace(/^\s*([-*#>]+|\d+\.) /, '')];
    const previous = passages.at(-1);
    if (continues && !startsNew && previous !== undefined) previous.text += `\n${line}`;
    else passages.push(...cells.map((cell) => ({ text: cell, line: index + 1 })));
    continues = !/^\s*[|#]/.test(line);
  }
  return passages;
}

/** Lists the findings of a passage, each with the line on which it stands. */
function inspect({ text, line }: Passage): { line: number; finding: string }[] {
  // Code becomes one word of the same length, and Markdown's emphasis becomes spaces, so that positions stay.
  const plain = text
    .replace(/`[^`]*`/g, (code) => 'x'.repeat(code.length))
    .replace(/(?<=\]\()[^)\s]+|https?:\S+/g, (url) => 'x'.repeat(url.length))
    .replace(/[*_]/g, ' ')
    .replace(/\s/g, ' ');
  const lineAt = (index: number) => line + text.slice(0, index).split('\n').length - 1;
  const trimmed = plain.length - plain.trimStart().length;
  const findings = [
    ...[...plain.trimStart().matchAll(OPENING)].map((match) => ({
      at: match.index + trimmed,
      finding: match[0] + ' …',
    })),
    ...[...plain.matchAll(WORDS)].map((match) => ({ at: match.index, finding: match[0] })),
    ...[...plain.matchAll(/\S.*?(?:[.!?](?=\s)|$)/g)]
      .map((match) => ({ at: match.index, words: match[0].split(/\s+/).filter((word) => /\w/.test(word)).length }))
      .filter(({ words }) => words > MAX_WORDS)
      .map(({ at, words }) => ({ at, finding: `sentence of ${words} words` })),
  ];
  return findings.sort((a, b) => a.at - b.at).map(({ at, finding }) => ({ line: lineAt(at), finding }));
}
