// @ts-check
/**
 * What this browser keeps from visit to visit, and nobody else sees: settings in its local storage,
 * the text in its private file system, and that only if asked. Where storage is switched off,
 * nothing is kept and nothing fails.
 */

const PREFIX = 'lora-lab.';
const FOLDER = 'corpus';
const INDEX = 'index.json';

/** One change of the text after the other: they share the folder. @type {Promise<unknown>} */
let last = Promise.resolve();

/** @param {string} name @returns {any} undefined where nothing is kept */
export function kept(name) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a page that has to wait would have written, null where it may write. @type {Map<string, unknown>|null} */
let waiting = null;
let mayWrite = () => {};
/** Who takes up what another tab has changed, by name, and what was kept when this page read it. @type {Map<string, {take: (value: any) => void, seen: string|undefined}>} */
const readers = new Map();
let takeTurn = () => {};
/** Resolves when it is clear that no other tab works. @type {Promise<void>} */
export const itsTurn = new Promise((resolve) => {
  takeTurn = resolve;
});

/**
 * Hear of what another tab has changed while this page waited for it, unless it was changed here too.
 * @param {string} name @param {(value: any) => void} take
 */
export function onReread(name, take) {
  readers.set(name, { take, seen: JSON.stringify(kept(name)) });
}

/** Write nothing until `writeAgain`: another tab works, and what is kept is its. */
export function holdBack() {
  waiting ??= new Map();
  const before = last;
  last = new Promise((resolve) => {
    mayWrite = () => resolve(before);
  });
}

/** It is this page's turn: take up what another tab has changed meanwhile, write what this one has. */
export function writeAgain() {
  const changes = waiting ?? new Map();
  waiting = null;
  for (const [name, { take, seen }] of readers) {
    const now = kept(name);
    if (!changes.has(name) && JSON.stringify(now) !== seen) take(now);
  }
  for (const [name, value] of changes) keep(name, value);
  mayWrite();
  takeTurn();
}

/** @param {string} name @param {unknown} value undefined forgets it */
export function keep(name, value) {
  if (waiting) {
    // What is the same as ever is no change: the other tab may have changed it since.
    if (waiting.has(name) || JSON.stringify(value) !== JSON.stringify(kept(name))) waiting.set(name, value);
    return;
  }
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // It lasts until the page is closed.
  }
}

/** @typedef {{isTyped: boolean, files: File[], key?: string}} KeptText typed text is one file; `key` is another whenever it was kept anew */

/** @param {boolean} create */
async function folder(create) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create });
}

/** @param {FileSystemDirectoryHandle} place @param {string} name @param {Blob|string} data */
async function write(place, name, data) {
  const stream = await (await place.getFileHandle(name, { create: true })).createWritable();
  await stream.write(data);
  await stream.close(); // only now is the file replaced, whole
}

/** @template T @param {() => Promise<T>} change @returns {Promise<T>} */
function afterTheLast(change) {
  const mine = last.then(change);
  last = mine.catch(() => {});
  return mine;
}

/**
 * Keep a text instead of the one before. The index is written last: what it names is whole.
 * @param {KeptText} text
 */
export function keepText({ isTyped, files }) {
  return afterTheLast(async () => {
    const place = await folder(true);
    const turn = crypto.randomUUID();
    const names = files.map((_, index) => `${turn}.${index}`);
    for (const [index, file] of files.entries()) await write(place, `${turn}.${index}`, file);
    await write(place, INDEX, JSON.stringify({ isTyped, names, called: files.map((file) => file.name) }));
    for await (const name of place.keys()) if (name !== INDEX && !names.includes(name)) await place.removeEntry(name);
  });
}

/**
 * @param {string} [known] the key of a text that is not read again
 * @returns {Promise<KeptText|null>} null where nothing, or nothing whole, or the known one is kept
 */
export async function keptText(known) {
  try {
    const place = await folder(false);
    /** @param {string} name */
    const read = async (name) => (await place.getFileHandle(name)).getFile();
    const { isTyped, names, called } = JSON.parse(await (await read(INDEX)).text());
    const key = names.join();
    if (key === known) return null;
    // Copies in memory: the stored files go when another text is kept.
    const files = await Promise.all(names.map(async (/** @type {string} */ name, /** @type {number} */ index) => new File([await (await read(name)).arrayBuffer()], called[index])));
    return { isTyped, files, key };
  } catch {
    return null;
  }
}

/** Forget the text at once. */
export function forgetText() {
  return afterTheLast(async () => {
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(FOLDER, { recursive: true }).catch((error) => {
      if (error.name !== 'NotFoundError') throw error;
    });
  });
}
