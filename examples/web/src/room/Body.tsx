import { findLinks } from './links.ts';

/** The text of a message, in its own direction, with http(s) addresses as links. */
export function Body({ text }: { text: string }) {
  const parts = [];
  let end = 0;
  for (const { index, lastIndex, raw, url } of findLinks(text)) {
    parts.push(text.slice(end, index));
    parts.push(
      <a key={index} href={url} target="_blank" rel="noreferrer noopener">
        {raw}
      </a>,
    );
    end = lastIndex;
  }
  return (
    <p className="body" dir="auto">
      {parts}
      {text.slice(end)}
    </p>
  );
}
