// @ts-check
/** Why a file could not be fetched, in sentences. */

import { say } from '../messages/mark.js';

/** A failure that trying again does not mend. */
export class Refused extends Error {}

/** Nothing was answered: no network, an unknown host, or a host that other pages may not read from. */
export class Unreachable extends Error {}

/**
 * What an answer that is none means.
 * @param {URL} url @param {number} status of HTTP
 * @returns {Error}
 */
export function statusError(url, status) {
  const values = { address: url.href, host: url.host, status };
  if (status === 401 || status === 403) {
    return new Refused(say('{host} does not give {address} to this page ({status}): the model may ask for an account or for agreeing to its licence. Fetch it there in a tab of its own, then choose the file or its folder.', values));
  }
  if (status === 404 || status === 410) return new Refused(say('There is no file at {address} ({status}): check the address.', values));
  const retry = status >= 500 || status === 429 || status === 408;
  return new (retry ? Error : Refused)(say('{address} answered {status}: check the address and try again.', values));
}

/**
 * Whether a host answers although nothing may be read of what it says.
 * @param {URL} url
 */
async function answersUnread(url) {
  try {
    const response = await fetch(url, { mode: 'no-cors', cache: 'no-store', signal: AbortSignal.timeout(5000) });
    await response.body?.cancel();
    return response.type === 'opaque';
  } catch {
    return false;
  }
}

/**
 * Why nothing came from a host, once trying again has not helped.
 * @param {string} name @param {URL} url
 * @returns {Promise<Unreachable>}
 */
export async function unreachableError(name, url) {
  const values = { name, host: url.host };
  if (globalThis.navigator?.onLine === false) {
    return new Unreachable(say('{name} was not fetched: there is no network. Models that lie on this device load without one; what has arrived is kept.', values));
  }
  if (await answersUnread(url)) {
    return new Unreachable(say('{name} was not fetched: {host} forbids other pages to read its files (CORS). Fetch it there in a tab of its own, then choose the file or its folder.', values));
  }
  return new Unreachable(say('{name} was not fetched: {host} does not answer. Check the connection and the address, then try again.', values));
}

/** @param {string} name @param {URL} url @param {unknown} error */
export function brokenError(name, url, error) {
  const reason = String(error instanceof Error ? error.message : error);
  return new Error(say('{name} could not be fetched from {host} ({reason}): check the connection, and that this site may be read from other pages, then try again.', { name, host: url.host, reason }));
}
