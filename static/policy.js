// @ts-check
/** Whether this very page or worker is kept from connecting to other addresses. */

/** A name that no network has (RFC 6761): where nothing refuses the attempt, it leads nowhere. */
const ELSEWHERE = 'https://elsewhere.invalid/';

/**
 * Try to reach another address with an empty request.
 * @returns {Promise<boolean>} the Content-Security-Policy refused it
 */
export async function tryToConnect() {
  let isRefused = false;
  const note = (/** @type {Event} */ event) => {
    if (/** @type {SecurityPolicyViolationEvent} */ (event).effectiveDirective === 'connect-src') isRefused = true;
  };
  addEventListener('securitypolicyviolation', note);
  await fetch(ELSEWHERE, { method: 'HEAD', mode: 'no-cors' }).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 50)); // the report is an event of its own
  removeEventListener('securitypolicyviolation', note);
  return isRefused;
}
