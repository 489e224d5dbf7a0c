/** The logo. It has no alternative text, because the name is beside it or not needed. */
export function Mark() {
  return <img className="mark" src="/icon.svg" alt="" />;
}
