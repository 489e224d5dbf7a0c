/** Shows an error text. Screen readers announce it when it appears. */
export function Problem({ text }: { text: string | null | undefined }) {
  return (
    <p className="problem" role="alert" hidden={!text}>
      {text}
    </p>
  );
}
