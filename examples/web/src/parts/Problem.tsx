/** What went wrong, as the server words it; said aloud when it appears. */
export function Problem({ text }: { text: string | null | undefined }) {
  return (
    <p className="problem" role="alert" hidden={!text}>
      {text}
    </p>
  );
}
