/** The sign of the page. Its name stands beside it, or is not needed. */
export function Mark() {
  return <img className="mark" src="/icon.svg" alt="" />;
}
