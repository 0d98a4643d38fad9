// @ts-check
/** The page's side of the service worker: isolation, a complete copy, a new version. */

const RELOADED = 'lora-lab reloaded for isolation';
const PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 3_600_000;

/** @typedef {'none'|'partial'|'complete'} Kept how much of the page is kept on this device */

/** @type {Promise<ServiceWorkerRegistration|null>|null} */
let registering = null;

/** @returns {Promise<ServiceWorkerRegistration|null>} null where the browser does not allow one */
export function register() {
  registering ??= (async () => {
    try {
      const address = new URL('../sw.js', import.meta.url);
      return await navigator.serviceWorker.register(address, { type: 'module', updateViaCache: 'none' });
    } catch {
      return null; // a private window, a policy, no network: the page works without
    }
  })();
  return registering;
}

/** @param {boolean} [value] @returns {boolean} */
function reloaded(value) {
  try {
    if (value === undefined) return sessionStorage.getItem(RELOADED) !== null;
    if (value) sessionStorage.setItem(RELOADED, '1');
    else sessionStorage.removeItem(RELOADED);
    return true;
  } catch {
    return true; // nothing to count reloads with: then there are none
  }
}

/**
 * Where the host sent no isolation headers, let the service worker send them: reload once.
 * @param {() => boolean} [mayReload] asked just before; keeps what was typed until then
 * @returns {Promise<boolean>} the page is about to reload
 */
export async function isolate(mayReload = () => true) {
  const registered = register();
  if (globalThis.crossOriginIsolated) {
    reloaded(false);
    return false;
  }
  if (!navigator.serviceWorker || reloaded() || !(await registered)) return false;
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, null));
  const active = await Promise.race([navigator.serviceWorker.ready, late]);
  if (!active || !mayReload() || !reloaded(true)) return false;
  location.reload();
  return true;
}

/**
 * Keep what of the page is not kept yet.
 * @returns {Promise<boolean>} all of it is kept now
 */
export async function keepPage() {
  const registration = await register();
  if (!registration) return false;
  await navigator.serviceWorker.ready;
  const { port1, port2 } = new MessageChannel();
  const answered = new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data.ok);
  });
  registration.active?.postMessage({ type: 'fill' }, [port2]);
  return answered;
}

/**
 * Call `tell` when a new version lies ready; it is given what starts it.
 * @param {(start: () => void) => void} tell
 */
export async function watchForUpdates(tell) {
  const registration = await register();
  if (!registration) return;
  let asked = false;
  const ready = () => {
    const { waiting } = registration;
    if (!waiting) return;
    tell(() => {
      asked = true;
      // Whatever waits when the person presses: an even newer one may have come.
      (registration.waiting ?? waiting).postMessage({ type: 'activate' });
    });
  };
  const followInstalling = () => {
    const { installing } = registration;
    installing?.addEventListener('statechange', () => {
      if (installing.state === 'installed' && registration.active) ready();
    });
  };
  registration.addEventListener('updatefound', followInstalling);
  followInstalling(); // the browser looks for a new version by itself when a page opens: it may be under way
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    if (asked) location.reload();
  });
  if (navigator.serviceWorker.controller) ready();
  let looked = performance.now();
  document.addEventListener('visibilitychange', () => {
    if (document.hidden || performance.now() - looked < LOOK_EVERY_MS) return;
    looked = performance.now();
    registration.update().catch(() => {});
  });
}
