/**
 * Compares how long a wrong name and a wrong password take: `npx tsx scripts/signInTimes.ts URL NAME [TRIES]`, against a
 * server with RATE_LIMITS=off on which NAME is somebody. What differs by less than its noise tells nobody who has an account.
 */
const [url = 'http://localhost:4000', name = 'ann', tries = '200'] = process.argv.slice(2);
const SIGN_IN = `mutation ($name: String!) {
  signIn(input: { usernameOrEmail: $name, password: "not the password" }) { accessToken }
}`;

async function timeOf(usernameOrEmail: string): Promise<number> {
  const body = JSON.stringify({ query: SIGN_IN, variables: { name: usernameOrEmail } });
  const began = performance.now();
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (!text.includes('INVALID_CREDENTIALS')) throw new Error(`It was answered ${text}`);
  return performance.now() - began;
}

function median(times: number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN;
}

const [wrongPassword, wrongName]: [number[], number[]] = [[], []];
// In turn, so that whatever else the machine does falls on both alike.
for (let i = 0; i < Number(tries); i += 1) {
  wrongPassword.push(await timeOf(name));
  wrongName.push(await timeOf(`nobody${i}`));
}
const [one, other] = [median(wrongPassword), median(wrongName)];
console.log(
  `wrong password ${one.toFixed(2)} ms, wrong name ${other.toFixed(2)} ms, ratio ${(other / one).toFixed(3)}`,
);
