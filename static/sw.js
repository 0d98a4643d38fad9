// @ts-check
/**
 * The service worker: keeps every file of one build, so that the page opens without a network,
 * and puts the isolation and security headers on all of them, so that a host without headers of
 * its own will do. Models are not its business: download/model-store.js keeps them.
 *
 * The first build is kept after the page has started, since fetching it twice would hold the page
 * up: until all of it is there, the network comes first. A later build is fetched whole before
 * anything changes, waits until the page asks for it, and only then are the old files deleted.
 */

import { BUILD, FILES, HEADERS, OWN_HEADERS } from './precache.js';

/** @typedef {Event & {waitUntil: (work: Promise<any>) => void}} ExtendableEvent */
/** @typedef {ExtendableEvent & {request: Request, respondWith: (answer: Promise<Response>) => void}} FetchEvent */
/** @typedef {ExtendableEvent & {data: any, ports: MessagePort[]}} MessageLikeEvent */

const worker = /** @type {any} */ (globalThis);
const BASE = new URL('./', import.meta.url).href;
/** Other pages of this origin have caches too. */
const PREFIX = `lora-lab ${new URL(BASE).pathname} `;
const NAME = PREFIX + BUILD;
/** Kept last: with it, everything is there. */
const COMPLETE = `${BASE}precache-complete`;
/** What a host without headers must not hand out itself, from the first visit on. */
const ISOLATED = ['index.html', 'bench.html', 'worker.js', 'download-worker.js', 'template-worker.js'];
const AT_ONCE = 6;
const HOLD_MS = 150_000;
/** Where a host does not know them, the browser would refuse these. */
const TYPES = new Map(Object.entries({
  html: 'text/html; charset=utf-8', js: 'text/javascript', mjs: 'text/javascript', css: 'text/css', json: 'application/json',
  wasm: 'application/wasm', svg: 'image/svg+xml', png: 'image/png', webmanifest: 'application/manifest+json',
}));

const opened = caches.open(NAME);
let isComplete = false;

/** Asked again until it is so: another instance of this worker may have finished the work. */
async function complete() {
  isComplete ||= Boolean(await (await opened).match(COMPLETE));
  return isComplete;
}

/** @param {string} address @returns {string} the path below this page; its own address is index.html */
function pathOf(address) {
  const url = new URL(address);
  const plain = url.origin + url.pathname;
  return plain.startsWith(BASE) ? decodeURI(plain.slice(BASE.length)) || 'index.html' : '';
}

/** @param {string} path */
const known = (path) => (Object.hasOwn(FILES, path) ? FILES[path] : undefined);

/**
 * The same answer with the headers that isolate the page.
 * @param {BodyInit|null} body @param {Response} response @param {string} path @param {string} [etag]
 */
function dressed(body, response, path, etag) {
  const headers = new Headers(etag ? {} : response.headers);
  for (const [name, value] of Object.entries({ ...HEADERS, ...OWN_HEADERS[path] })) headers.set(name, value);
  const type = TYPES.get(path.split('.').at(-1) ?? '') ?? response.headers.get('content-type');
  if (type) headers.set('Content-Type', type);
  if (etag) headers.set('ETag', etag);
  return new Response(body, { status: response.status, statusText: response.statusText, headers });
}

/**
 * Keep a file if it is the one of this build. What lies in the cache is handed out as it is: only
 * then does the browser keep compiled code beside it.
 * @param {string} path @param {Response} response
 * @returns {Promise<boolean>} it is
 */
async function keep(path, response) {
  const { sha256 } = FILES[path];
  const bytes = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (found !== sha256) return false;
  const cache = await opened;
  await cache.put(BASE + path, dressed(bytes, response, path, `"${sha256}"`));
  if (path === 'index.html') await cache.put(BASE, dressed(bytes, response, path, `"${sha256}"`));
  return true;
}

/** @param {string} path @param {Cache[]} others of earlier builds */
async function fill(path, others) {
  const { sha256 } = FILES[path];
  if (await (await opened).match(BASE + path)) return;
  for (const other of others) {
    const same = await other.match(BASE + path);
    if (same?.headers.get('etag') === `"${sha256}"` && await keep(path, same)) return;
  }
  for (const cache of /** @type {const} */ (['no-cache', 'reload'])) {
    const response = await fetch(BASE + path, { cache });
    if (!response.ok) throw new Error(`${path} could not be fetched (${response.status})`);
    if (await keep(path, response)) return;
    // The browser may hold another version that the host takes for this one: then without it.
  }
  throw new Error(`${path} is not the file of this version`);
}

/** Fetch what is missing; what is there stays for the next try. */
async function fillAll() {
  const cache = await opened;
  if (await complete()) return;
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  const others = await Promise.all(names.map((name) => caches.open(name)));
  const paths = Object.keys(FILES);
  const next = async () => {
    for (let path = paths.shift(); path !== undefined; path = paths.shift()) await fill(path, others);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  await cache.put(COMPLETE, new Response(BUILD));
}

/** @type {Promise<void>|null} */
let filling = null;
const fillOnce = () => {
  filling ??= fillAll().finally(() => {
    filling = null;
  });
  return filling;
};

/** @param {FetchEvent} event @param {string} path */
async function answer(event, path) {
  const cache = await opened;
  if (await complete()) {
    const stored = await cache.match(BASE + path);
    if (stored) return stored;
  }
  try {
    const response = await fetch(event.request);
    if (response.type === 'opaqueredirect' || response.type === 'error' || response.body === null) return response;
    return dressed(response.body, response, path);
  } catch (error) {
    const stored = await cache.match(BASE + path);
    if (stored) return stored;
    throw error;
  }
}

/** @param {FetchEvent} event */
worker.onfetch = (event) => {
  const { request } = event;
  const path = pathOf(request.url);
  // Documents and scripts that are not of the build, whatever they are, get the headers too.
  if (request.method !== 'GET' || !path || !(known(path) || request.destination)) return;
  event.respondWith(answer(event, path));
};

/**
 * Let the browser take files out of the cache without asking this worker, which takes time to
 * start; what is not there comes from the network.
 * @param {any} event
 */
async function addRoutes(event) {
  if (!event.addRoutes) return;
  const { protocol, hostname, port, pathname } = new URL(BASE);
  /** @param {string} rest @param {object} more */
  const below = (rest, more) => ({ urlPattern: { protocol: protocol.slice(0, -1), hostname, port, pathname: pathname + rest, ...more } });
  await event.addRoutes([
    { condition: below('models/*', {}), source: 'network' },
    { condition: below('*', { search: '' }), source: { cacheName: NAME } },
  ]);
}

/** @param {ExtendableEvent} event */
worker.oninstall = (event) => {
  const prepare = async () => {
    await addRoutes(event).catch((error) => console.info('Files come through the service worker:', error));
    if (!worker.registration.active) await Promise.all(ISOLATED.map((path) => fill(path, [])));
    else await fillOnce();
  };
  event.waitUntil(prepare());
};

/** @param {ExtendableEvent} event */
worker.onactivate = (event) => {
  const tidy = async () => {
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
    await worker.clients.claim();
  };
  event.waitUntil(tidy());
};

/** @param {MessageLikeEvent} event */
worker.onmessage = (event) => {
  const { type, lock } = event.data;
  const port = event.ports[0];
  if (type === 'fill') {
    event.waitUntil(fillOnce().then(() => port?.postMessage({ ok: true }), (error) => port?.postMessage({ ok: false, reason: String(error) })));
  } else if (type === 'activate') {
    worker.skipWaiting();
  } else if (type === 'wait-for') {
    // Chrome freezes a hidden page that computes, but not one for whose lock another waits.
    const waiting = navigator.locks.request(lock, { signal: AbortSignal.timeout(HOLD_MS) }, () => {});
    event.waitUntil(waiting.catch(() => {}));
  }
};
