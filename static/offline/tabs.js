// @ts-check
/** One tab works at a time: two would share one GPU and write the same files. */

const BASE = new URL('../', import.meta.url).pathname;
/** Held by the tab that works; another page of this origin has its own. */
const WORKING = `lora-lab ${BASE}`;
/** Held while it trains, with the service worker waiting for it. */
export const TRAINING = `lora-lab ${BASE} training`;

/** A page that is just being reloaded lets go within that time. */
const PATIENCE_MS = 2_500;

const forEver = () => new Promise(() => {});

/**
 * Work in this tab, where no other does.
 * @returns {Promise<boolean>}
 */
export function claim() {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const asked = navigator.locks.request(WORKING, { signal: AbortSignal.timeout(PATIENCE_MS) }, () => {
      resolve(true);
      return forEver();
    });
    // Any other failure: storage is switched off, and there is nothing to fight over.
    asked.catch((error) => resolve(error.name !== 'TimeoutError'));
  });
}

/** @returns {Promise<void>} resolves when the other tab is closed and this one may work */
export function claimLater() {
  return new Promise((resolve) => {
    void navigator.locks.request(WORKING, () => {
      resolve();
      return forEver();
    });
  });
}
