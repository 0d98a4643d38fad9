// @ts-check
/** The files of one run's record: a description, and logs in parts. */

export const ABOUT = 'run.json';
export const END = '.jsonl';

/** @typedef {'steps'|'samples'} LogName */
/** @type {LogName[]} */
export const LOGS = ['steps', 'samples'];
/** @typedef {{key: string, about: string|null, steps: string, samples: string, bytes: number}} Found */

/** @param {FileSystemDirectoryHandle} place @returns {Promise<string[]>} in order */
export async function namesIn(place) {
  const names = [];
  for await (const [name] of /** @type {any} */ (place).entries()) names.push(name);
  return names.sort();
}

/** @param {FileSystemDirectoryHandle} place @param {LogName} log */
export const partsOf = async (place, log) => (await namesIn(place)).filter((name) => name.startsWith(`${log}-`) && name.endsWith(END));

/** @param {FileSystemDirectoryHandle} place @param {LogName} log */
export const lastPart = async (place, log) => Number((await partsOf(place, log)).at(-1)?.slice(log.length + 1, -END.length) ?? 0) || 0;

/** @param {FileSystemDirectoryHandle} place @param {string} key @returns {Promise<Found>} */
export async function readOne(place, key) {
  /** @type {Found} */
  const found = { key, about: null, steps: '', samples: '', bytes: 0 };
  try {
    const folder = await place.getDirectoryHandle(key);
    /** @param {string} name */
    const read = async (name) => {
      const file = await (await folder.getFileHandle(name)).getFile();
      found.bytes += file.size;
      return file.text();
    };
    // A part that was cut short must not run into the next one.
    for (const log of LOGS) for (const name of await partsOf(folder, log)) found[log] += `${await read(name)}\n`;
    found.about = await read(ABOUT);
  } catch {
    // A file that is missing or in somebody else's hands: the record is told as damaged.
  }
  return found;
}
