/**
 * Compares the times of sign-ins with an unknown name and with a wrong password. A difference below the noise does not
 * reveal who has an account. Usage: `npx tsx scripts/signInTimes.ts URL NAME [TRIES]`, against a server with RATE_LIMITS=off
 * and an account NAME.
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
  if (!text.includes('INVALID_CREDENTIALS')) throw new Error(`The server did not refuse the sign-in: ${text}`);
  return performance.now() - began;
}

function median(times: number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN;
}

const [wrongPassword, wrongName]: [number[], number[]] = [[], []];
// Alternates, so that other load on the machine affects both equally.
for (let i = 0; i < Number(tries); i += 1) {
  wrongPassword.push(await timeOf(name));
  wrongName.push(await timeOf(`nobody${i}`));
}
const [one, other] = [median(wrongPassword), median(wrongName)];
console.log(
  `wrong password ${one.toFixed(2)} ms, wrong name ${other.toFixed(2)} ms, ratio ${(other / one).toFixed(3)}`,
);
