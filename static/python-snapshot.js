// @ts-check
/**
 * Python as it was when the page was built, every module imported: its memory is put back instead
 * of starting it anew. Functions do not live in memory, so numpy's libraries are instantiated
 * first, where the stored memory expects their data and their slots of the function table.
 * tools/snapshot.mjs, which makes the snapshot, does that with the same function.
 */

/**
 * @typedef {object} Library
 * @property {string} path where Python looks for it
 * @property {string} file its name beside snapshot.json
 * @property {number} table its first slot in the function table
 */
/**
 * @typedef {object} Snapshot
 * @property {number} file_bytes the heap with its header, unpacked
 * @property {number} heap_bytes
 * @property {number} heap_start first byte behind the data of all libraries
 * @property {number} table_end first slot behind those of all libraries
 * @property {Library[]} libraries in the order of loading
 */
/** @typedef {(settings: any) => Promise<any>} CreateModule Pyodide's Emscripten module */

/** Browsers put a few functions of their own into the table first: some one more than others. */
const SPARE_SLOTS = 64;

/** @param {any} module where the heap begins, once all libraries have their data */
export const heapStart = (module) => module.HEAPU32[module._emscripten_get_sbrk_ptr() >>> 2];

/**
 * Instantiate libraries before Python starts.
 * @param {any} module
 * @param {{path: string, table?: number}[]} libraries without slots where a snapshot is made
 * @param {WebAssembly.Module[]} compiled
 * @returns {number[]} the first table slot of each
 */
export function placeLibraries(module, libraries, compiled) {
  const table = /** @type {WebAssembly.Table} */ (module.wasmTable);
  const start = libraries[0].table ?? table.length + SPARE_SLOTS;
  if (start < table.length) throw new Error(`the function table has ${table.length} slots, expected at most ${start}`);
  table.grow(start - table.length);
  return libraries.map(({ path }, index) => {
    const first = table.length;
    const library = module.newDSO(path, undefined, 'loading');
    library.global = false;
    const flags = { loadAsync: false, global: false, nodelete: true, allowUndefined: false };
    library.exports = module.loadWebAssemblyModule(compiled[index], flags, path, {}, undefined);
    return first;
  });
}

/**
 * @param {CreateModule} create
 * @param {Snapshot} snapshot
 * @param {Promise<WebAssembly.Module[]>} compiling its libraries
 * @param {Promise<Uint8Array>} heap
 * @returns {CreateModule} makes a module whose memory is the snapshot's
 */
export function restoring(create, snapshot, compiling, heap) {
  return async (settings) => {
    /** @type {Promise<never>} */
    const failed = new Promise((_, reject) => {
      settings.preRun.push(async (/** @type {any} */ module) => {
        module.addRunDependency('libraries');
        try {
          const compiled = await compiling;
          module.growMemory(snapshot.heap_bytes);
          placeLibraries(module, snapshot.libraries, compiled);
          if (heapStart(module) !== snapshot.heap_start || module.wasmTable.length !== snapshot.table_end) {
            throw new Error('the libraries did not come to lie where the snapshot has them');
          }
          module.removeRunDependency('libraries');
        } catch (error) {
          reject(error);
        }
      });
    });
    const module = await Promise.race([create(settings), failed]);
    const bytes = await heap;
    const restore = module.API.restoreSnapshot;
    module.API.restoreSnapshot = () => {
      // How Python calls C functions of other types is the browser's own, not the builder's.
      const trampoline = (module.__PyRuntime + module.HEAP32[module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET >>> 2]) >>> 2;
      const own = module.HEAP32[trampoline];
      const config = restore(bytes);
      module.HEAP32[trampoline] = own;
      return config;
    };
    return module;
  };
}
