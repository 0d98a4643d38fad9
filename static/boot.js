// @ts-check
/** Fetch and start Python, with progress measured in bytes. */

import { manifest } from './manifest.js';
import { mark } from './messages/mark.js';
import { restoring } from './python-snapshot.js';
import createModule from './vendor/pyodide/pyodide.asm.mjs';
import { loadPyodide } from './vendor/pyodide/pyodide.mjs';
import { createTokenizer } from './text/tokenizer.js';
// These two put what Python calls under globalThis.loraLab themselves.
import './text/chat-template.js';
import './gpu/replay.js';

/** @import {Snapshot} from './python-snapshot.js' */
/** @typedef {{text: string, loaded_bytes: number, total_bytes: number}} Boot */

const PYODIDE = new URL('./vendor/pyodide', import.meta.url).href;
const HOME = '/home/pyodide';
/** Large parts of both ways to start. */
const RESTORED = /(pyodide\.asm\.wasm|python_stdlib\.zip|python\/[^/]+)$/;
const ANEW = /(pyodide\.asm\.wasm|python_stdlib\.zip|\.whl|app\.zip)$/;

Object.assign((/** @type {any} */ (globalThis).loraLab ??= {}), { createTokenizer });

/**
 * Count the bytes of what is fetched for Python while it streams by.
 * @param {RegExp} counted
 * @param {(loaded: number) => void} onBytes
 * @returns {() => void} puts the plain fetch back
 */
function countFetches(counted, onBytes) {
  const plainFetch = globalThis.fetch;
  let loaded = 0;
  /** @param {ReadableStream<Uint8Array>} stream */
  const count = async (stream) => {
    const reader = stream.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      loaded += part.value.byteLength;
      onBytes(loaded);
    }
  };
  globalThis.fetch = async (input, init) => {
    const response = await plainFetch(input, init);
    const url = input instanceof Request ? input.url : String(input);
    if (!response.ok || !response.body || !counted.test(new URL(url, import.meta.url).pathname)) return response;
    // Counted on a copy: only the browser's own response lets it keep the compiled WebAssembly
    // for the next visit.
    const copy = response.clone().body;
    if (copy) count(copy).catch(() => {});
    return response;
  };
  return () => {
    globalThis.fetch = plainFetch;
  };
}

/** @param {string} path @returns {Promise<Response>} the file of this very build: asked for anew, or the service worker's */
async function part(path) {
  const response = await fetch(new URL(`./${path}`, import.meta.url), { cache: 'no-cache' });
  if (!response.ok) throw new Error(`${path} could not be fetched (${response.status})`);
  return response;
}

/** @param {Response} response of a gzip file @param {number} size unpacked */
async function unpack(response, size) {
  const bytes = new Uint8Array(size);
  const stream = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body);
  const reader = stream.pipeThrough(new DecompressionStream('gzip')).getReader();
  let at = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    bytes.set(piece.value, at);
    at += piece.value.byteLength;
  }
  if (at !== size) throw new Error(`the snapshot has ${at} bytes instead of ${size}`);
  performance.mark('snapshot unpacked');
  return bytes;
}

/** Put back the memory that Python had when the page was built. */
async function restore() {
  const packed = part('python/heap.bin');
  packed.catch(() => {});
  /** @type {Snapshot} */
  const snapshot = await (await part('python/snapshot.json')).json();
  const compiling = Promise.all(snapshot.libraries.map(({ file }) => WebAssembly.compileStreaming(part(`python/${file}`))));
  const heap = packed.then((response) => unpack(response, snapshot.file_bytes));
  for (const promise of [compiling, heap]) promise.catch(() => {});
  return loadPyodide({
    indexURL: PYODIDE,
    packageBaseUrl: PYODIDE,
    createPyodideModule: restoring(createModule, snapshot, compiling, heap),
    _loadSnapshot: new Uint8Array(0), // the real one comes while WebAssembly is being compiled
  });
}

/** Start Python from its sources. */
async function startAnew() {
  const app = part('app.zip');
  app.catch(() => {});
  const pyodide = await loadPyodide({ indexURL: PYODIDE, packageBaseUrl: PYODIDE, packages: ['numpy'] });
  pyodide.unpackArchive(await (await app).arrayBuffer(), 'zip', { extractDir: HOME });
  return pyodide;
}

/**
 * @param {(boot: Boot) => void} onProgress
 * @returns {Promise<any>} Pyodide, with numpy loaded and our package importable
 */
export async function bootPython(onProgress) {
  performance.mark('boot');
  const { files } = await manifest();
  /** @param {() => Promise<any>} start @param {RegExp} counted */
  const telling = async (start, counted) => {
    let total = 0;
    for (const [path, { size }] of Object.entries(files)) if (counted.test(path)) total += size;
    let told = 0;
    const quiet = countFetches(counted, (loaded) => {
      if (performance.now() - told < 60 && loaded < total) return;
      told = performance.now();
      const text = loaded < total ? mark('Fetching Python') : mark('Starting Python');
      onProgress({ text, loaded_bytes: Math.min(loaded, total), total_bytes: loaded < total ? total : 0 });
    });
    try {
      return await start();
    } finally {
      quiet();
      performance.mark('python');
    }
  };
  const pyodide = await telling(restore, RESTORED).catch((error) => {
    console.info('Python starts from its sources, which takes longer:', error);
    return telling(startAnew, ANEW);
  });
  onProgress({ text: mark('Starting the studio'), loaded_bytes: 0, total_bytes: 0 });
  return pyodide;
}
