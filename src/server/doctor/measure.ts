import { fault, type Finding, ok, warning } from '../../core/findings.ts';

/**
 * Measures the round trip of a request. Sends the request six times and ignores the first time.
 *
 * @returns `ms`: the median in milliseconds; `result`: the last result; `at`: the time on this machine at which the
 *   last result was produced, in milliseconds since 1970
 */
export async function measure<Result>(
  request: () => Promise<Result>,
): Promise<{ ms: number; result: Result; at: number }> {
  const times: number[] = [];
  let result = await request();
  let at = Date.now();
  for (let i = 0; i < 5; i += 1) {
    const [startedAt, wallTime] = [performance.now(), Date.now()];
    result = await request();
    times.push(performance.now() - startedAt);
    // Assumes that the result was produced halfway through the round trip.
    at = (wallTime + Date.now()) / 2;
  }
  return { ms: times.sort((a, b) => a - b)[2] ?? 0, result, at };
}

/**
 * Clock skews from which `doctor` reports a warning and a fault, in milliseconds. With skewed clocks, access tokens
 * expire too early or too late.
 */
const WARNING_SKEW_MS = 1_000;
const FAULT_SKEW_MS = 60_000;

/**
 * Compares another clock with the clock of this machine, and returns a finding about the skew.
 *
 * @param name name of the other clock, for the message
 * @param remoteTime time of the other clock, in milliseconds since 1970
 * @param localTime time of this machine at the same moment
 * @param uncertaintyMs maximum error of the comparison; only a larger difference counts as skew
 */
export function examineClock(name: string, remoteTime: number, localTime: number, uncertaintyMs: number): Finding {
  const skew = Math.max(Math.abs(remoteTime - localTime) - uncertaintyMs, 0);
  const text = `The clocks of this machine and of ${name} are ${(skew / 1_000).toFixed(1)} s apart.`;
  if (skew >= FAULT_SKEW_MS) return fault(`${text} Tokens expire too early or too late. Run NTP on both.`);
  if (skew >= WARNING_SKEW_MS) return warning(`${text} Run NTP on both.`);
  return ok(`${text.replace(/ are .*/, '')} agree.`);
}
