const LINK = /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]]/g;

/** A text as it was written, its direction found out for itself, with the addresses in it to click. */
export function Body({ text }: { text: string }) {
  const parts = [];
  let end = 0;
  for (const { 0: href, index } of text.matchAll(LINK)) {
    parts.push(text.slice(end, index));
    parts.push(
      <a key={index} href={href} target="_blank" rel="noreferrer noopener">
        {href}
      </a>,
    );
    end = index + href.length;
  }
  return (
    <p className="body" dir="auto">
      {parts}
      {text.slice(end)}
    </p>
  );
}
