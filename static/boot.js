// @ts-check
/** Fetch and start Python, with progress measured in bytes. */

import { manifest } from './manifest.js';
import { loadPyodide } from './vendor/pyodide/pyodide.mjs';
import { createTokenizer } from './tokenizer.js';
// These two put what Python calls under globalThis.loraLab themselves.
import './chat-template.js';
import './replay.js';

/** @typedef {{text: string, loaded_bytes: number, total_bytes: number}} Boot */

const PYODIDE = new URL('./vendor/pyodide/', import.meta.url);
const COUNTED = /(pyodide\.asm\.wasm|python_stdlib\.zip|\.whl|app\.zip)$/;
const HOME = '/home/pyodide';

Object.assign((/** @type {any} */ (globalThis).loraLab ??= {}), { createTokenizer });

/**
 * Count the bytes of what is fetched for Python while it streams by.
 * @param {(loaded: number) => void} onBytes
 * @returns {() => void} puts the plain fetch back
 */
function countFetches(onBytes) {
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
    if (!response.ok || !response.body || !COUNTED.test(new URL(url, import.meta.url).pathname)) return response;
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

/**
 * @param {(boot: Boot) => void} onProgress
 * @returns {Promise<any>} Pyodide, with numpy loaded and our package importable
 */
export async function bootPython(onProgress) {
  const { build_id: build, files } = await manifest();
  let total = 0;
  for (const [path, { size }] of Object.entries(files)) if (COUNTED.test(path)) total += size;
  let told = 0;
  const restore = countFetches((loaded) => {
    if (performance.now() - told < 60 && loaded < total) return;
    told = performance.now();
    const text = loaded < total ? 'Fetching Python' : 'Starting Python';
    onProgress({ text, loaded_bytes: Math.min(loaded, total), total_bytes: loaded < total ? total : 0 });
  });
  try {
    const app = fetch(new URL(`./app.zip?v=${build}`, import.meta.url));
    app.catch(() => {});
    const pyodide = await loadPyodide({
      indexURL: PYODIDE.href,
      packageBaseUrl: PYODIDE.href,
      packages: ['numpy'],
    });
    const response = await app;
    if (!response.ok) throw new Error(`app.zip could not be fetched (${response.status})`);
    pyodide.unpackArchive(await response.arrayBuffer(), 'zip', { extractDir: HOME });
    onProgress({ text: 'Starting the studio', loaded_bytes: 0, total_bytes: 0 });
    return pyodide;
  } finally {
    restore();
  }
}
