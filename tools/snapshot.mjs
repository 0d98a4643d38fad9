// Make the snapshot of Python's memory that the page starts from (static/python-snapshot.js):
//   node tools/snapshot.mjs PYODIDE SITE HOME OUT
// PYODIDE: folder of Pyodide's core. SITE, HOME: files of site-packages and of the home folder.
// OUT gets heap.bin (gzip), the libraries as *.wasm, and snapshot.json.
//
// Python is started twice: first to learn which libraries it loads and to compile its sources,
// then with both at hand. Clock and chance are fixed, so equal sources give equal bytes.

import crypto from 'node:crypto'; // what Pyodide asks under Node
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, posix, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { heapStart, placeLibraries } from '../static/python-snapshot.js';

const [PYODIDE, SITE, HOME, OUT] = process.argv.slice(2).map((path) => resolve(path));
const IMPORTS = readFileSync(new URL('./snapshot_imports.py', import.meta.url), 'utf8');
const TARGETS = [[SITE, '/lib/python3.14/site-packages'], [HOME, '/home/pyodide']];
const WHEN_MS = 1_600_000_000_000;

const { loadPyodide } = await import(pathToFileURL(join(PYODIDE, 'pyodide.mjs')).href);
const { default: create } = await import(pathToFileURL(join(PYODIDE, 'pyodide.asm.mjs')).href);

function fixClockAndChance() {
  let state = 1;
  Date.now = () => WHEN_MS;
  performance.now = () => 1000;
  crypto.randomFillSync = (view) => {
    for (let i = 0; i < view.length; i += 1) view[i] = (state = (state * 75 + 74) % 65537) >> 8;
    return view;
  };
}

/** Path → bytes of all files below the folders, under their names inside Pyodide. */
function filesBelow(targets) {
  const files = new Map();
  for (const [folder, target] of targets) {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const path of entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort()) {
      files.set(target + path.slice(folder.length).replaceAll(sep, '/'), readFileSync(path));
    }
  }
  return files;
}

/** Path → bytes of what Python compiled. */
function compiledFiles(FS, folder, found = new Map()) {
  for (const name of FS.readdir(folder).filter((entry) => !entry.startsWith('.'))) {
    const path = `${folder}/${name}`;
    if (FS.isDir(FS.stat(path).mode)) compiledFiles(FS, path, found);
    else if (path.endsWith('.pyc')) found.set(path, FS.readFile(path));
  }
  return found;
}

async function start(files, libraries) {
  let module;
  const tables = [];
  const pyodide = await loadPyodide({
    indexURL: PYODIDE,
    env: { HOME: '/home/pyodide', PYTHONHASHSEED: '0', LANG: 'en_US.UTF-8' },
    _makeSnapshot: true,
    createPyodideModule: (settings) => {
      settings.preRun.push((made) => {
        module = made;
        for (const [path, bytes] of files) {
          made.FS.mkdirTree(posix.dirname(path));
          made.FS.writeFile(path, bytes);
          made.FS.utime(path, WHEN_MS, WHEN_MS);
        }
        if (!libraries.length) return;
        const compiled = libraries.map(({ path }) => new WebAssembly.Module(files.get(path)));
        tables.push(...placeLibraries(made, libraries, compiled), heapStart(made), made.wasmTable.length);
      });
      return create(settings);
    },
  });
  try {
    pyodide.runPython(IMPORTS);
  } catch (error) { // whose trace would show a megabyte of Pyodide's one line
    console.error(error.message);
    process.exit(1);
  }
  return { pyodide, module, tables };
}

fixClockAndChance();
const files = filesBelow(TARGETS);
const first = await start(files, []);
const used = Object.keys(first.module.LDSO.loadedLibsByName).filter((path) => files.has(path));
for (const [, target] of TARGETS) for (const [path, bytes] of compiledFiles(first.module.FS, target)) files.set(path, bytes);

const { pyodide, module, tables } = await start(files, used.map((path) => ({ path })));
const [heap_start, table_end] = tables.splice(-2);
for (let slot = table_end; slot < module.wasmTable.length; slot += 1) {
  if (module.wasmTable.get(slot)) throw new Error(`slot ${slot} of the function table was filled while importing`);
}
const snapshot = pyodide.makeMemorySnapshot();
mkdirSync(OUT, { recursive: true });
const libraries = used.map((path, index) => ({ path, file: `${posix.basename(path).split('.')[0]}.wasm`, table: tables[index] }));
for (const { path, file } of libraries) writeFileSync(join(OUT, file), files.get(path));
writeFileSync(join(OUT, 'heap.bin'), gzipSync(snapshot, { level: 9 }));
writeFileSync(join(OUT, 'snapshot.json'), `${JSON.stringify({
  file_bytes: snapshot.length, heap_bytes: module.HEAP8.length, heap_start, table_end, libraries,
}, null, 1)}\n`);
