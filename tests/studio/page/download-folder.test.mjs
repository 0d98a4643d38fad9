// A HuggingFace model by its address: found out, fetched file by file, continued, kept as one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFileAddress, readAddress } from '../../../static/download/address.js';
import { fetchModel } from '../../../static/download/fetch-model.js';
import { listModels, openStoredModel } from '../../../static/download/stored-models.js';
import { Folder, Server, sha256, useFolder } from './opfs.mjs';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const WEIGHTS = Buffer.from(Array.from({ length: 8000 }, (_, index) => (index * 7) & 255));
const FILES = new Map(Object.entries({
  'config.json': Buffer.from('{"model_type": "llama"}'),
  'tokenizer.json': Buffer.from('{"version": "1.0"}'),
  'tokenizer_config.json': Buffer.from('{}'),
  'model.safetensors': WEIGHTS,
}));
const TOTAL = [...FILES.values()].reduce((sum, bytes) => sum + bytes.length, 0);

/** @param {string} base @param {Map<string, Buffer>} [files] */
const served = (base, files = FILES) => new Map([...files].map(([name, bytes]) => [`${base}${name}`, bytes]));
/** @param {string} path @param {Map<string, Buffer>} [files] */
const listed = (path, files = FILES) => [
  path, Buffer.from(JSON.stringify({
    sha: COMMIT,
    siblings: [...files, ['README.md', Buffer.alloc(9)], ['onnx/model.safetensors', Buffer.alloc(9)]].map(([rfilename, bytes]) => ({
      rfilename, size: bytes.length, ...(rfilename.endsWith('.safetensors') ? { lfs: { sha256: sha256(bytes), size: bytes.length } } : {}),
    })),
  })),
];

/** @param {object|string} order @param {(progress: object) => void} [onProgress] @param {AbortSignal} [signal] */
async function fetchIt(order, onProgress = () => {}, signal = new AbortController().signal) {
  const { name, files } = await fetchModel(typeof order === 'string' ? { kind: 'address', url: order } : order, signal, onProgress);
  return { name, files: new Map(await Promise.all(files.map(async (file) => [file.name, Buffer.from(await file.arrayBuffer())]))) };
}

const URL_OF_FOLDER = `https://host.test/me/mine/resolve/${COMMIT}/`;
const ORDER = {
  kind: 'folder', url: URL_OF_FOLDER, name: 'mine', files: [...FILES].map(([name, bytes]) => ({ name, size: bytes.length, sha256: sha256(bytes) })),
};

test('what an address may mean', () => {
  const meanings = (address) => {
    const { repository, folders, file } = readAddress(new URL(address, 'https://host.test'));
    return [repository && Object.values(repository).join(' '), folders.map(({ pathname }) => pathname).join(' '), file && file.pathname + file.search];
  };
  assert.deepEqual(meanings('/me/mine'), ['me mine main ', '/me/mine/resolve/main/ /me/mine/', '/me/mine']);
  assert.deepEqual(meanings('/me/mine/tree/v2'), ['me mine v2 ', '/me/mine/resolve/v2/', null]);
  assert.deepEqual(meanings('/me/mine/tree/main/sub'), ['me mine main sub/', '/me/mine/resolve/main/sub/', null]);
  assert.deepEqual(meanings('/me/mine/resolve/main/'), ['me mine main ', '/me/mine/resolve/main/', null]);
  assert.deepEqual(meanings('/me/mine/blob/main/model.safetensors'), ['me mine main ', '/me/mine/resolve/main/', null]);
  assert.deepEqual(meanings('/me/mine/blob/main/a.gguf'), [null, '', '/me/mine/resolve/main/a.gguf']);
  assert.deepEqual(meanings('/me/mine/resolve/main/a.gguf?download=true'), [null, '', '/me/mine/resolve/main/a.gguf?download=true']);
  assert.deepEqual(meanings('/some/where/deep/'), [null, '/some/where/deep/', null]);
  assert.deepEqual(meanings('/some/where/deep/config.json'), [null, '/some/where/deep/', null]);
  assert.deepEqual(meanings('/download?id=5'), [null, '/download/', '/download?id=5']);
  assert.equal(isFileAddress(new URL('https://host.test/a/b.GGUF')), true);
  assert.equal(isFileAddress(new URL('https://host.test/me/mine/blob/main/a.gguf')), false);
});

test('known files are fetched, checked, and a second visit needs no network', async () => {
  const folder = new Folder();
  useFolder(folder);
  const server = new Server(served(`/me/mine/resolve/${COMMIT}/`));
  const told = [];
  assert.deepEqual((await fetchIt(ORDER, (progress) => told.push(progress))).files, FILES);
  assert.ok(told.every(({ name, total }) => name === 'mine' && total === TOTAL));
  assert.equal(told.at(-1).loaded, TOTAL);
  assert.deepEqual(told.map(({ loaded }) => loaded), told.map(({ loaded }) => loaded).sort((a, b) => a - b));
  assert.equal(server.requests.length, 4);
  assert.deepEqual((await fetchIt(ORDER)).files, FILES);
  assert.equal(server.requests.length, 4);

  // One model of the list, opened again as such, and removed as one.
  const [model, ...others] = await listModels(folder);
  assert.deepEqual([model.name, model.bytes, model.isComplete, others.length], ['mine', TOTAL, true, 0]);
  const again = await openStoredModel(folder, model.stored, model.name);
  assert.deepEqual(again.files.map(({ name }) => name).sort(), [...FILES.keys()].sort());
  await model.remove();
  assert.deepEqual([folder.files.size, folder.folders.size], [0, 0]);
});

test('a cancelled model is gone on with where it was, the files before are kept', async () => {
  const folder = new Folder();
  useFolder(folder);
  let server = new Server(served(`/me/mine/resolve/${COMMIT}/`));
  const abort = new AbortController();
  const cut = fetchIt(ORDER, ({ loaded }) => loaded >= 1000 && abort.abort(new Error('cancelled')), abort.signal);
  await assert.rejects(cut, /cancelled/);
  const [model] = await listModels(folder);
  assert.deepEqual([model.isComplete, model.total, model.bytes >= 1000 && model.bytes < TOTAL], [false, TOTAL, true]);
  server = new Server(served(`/me/mine/resolve/${COMMIT}/`));
  const { url, files } = model.marker;
  assert.deepEqual((await fetchIt({ kind: 'folder', url, name: model.name, files })).files, FILES);
  assert.equal(server.requests.length, 1);
  assert.match(server.ranges[0], /^bytes=[1-9]000-$/);
  assert.equal((await listModels(folder))[0].isComplete, true);
});

test('a file with a wrong hash is removed, the others stay', async () => {
  const folder = new Folder();
  useFolder(folder);
  const spoilt = Buffer.from(WEIGHTS);
  spoilt[7] ^= 1;
  new Server(served(`/me/mine/resolve/${COMMIT}/`, new Map([...FILES, ['model.safetensors', spoilt]])));
  await assert.rejects(fetchIt(ORDER), /model\.safetensors arrived damaged/);
  const [model] = await listModels(folder);
  assert.deepEqual([model.isComplete, model.bytes], [false, TOTAL - WEIGHTS.length]);
});

test('a repository tells its files, sizes and hashes, and is pinned to its commit', async () => {
  const folder = new Folder();
  useFolder(folder);
  const api = listed('/api/models/me/mine/revision/main?blobs=true');
  let server = new Server(new Map([...served(`/me/mine/resolve/${COMMIT}/`), api]));
  const told = [];
  const { name, files } = await fetchIt('https://host.test/me/mine', (progress) => told.push(progress));
  assert.equal(name, 'mine');
  assert.deepEqual(files, FILES);
  assert.equal(told[0].total, TOTAL);
  const [model] = await listModels(folder);
  assert.equal(model.marker.asked, 'https://host.test/me/mine');
  assert.equal(model.marker.url, URL_OF_FOLDER);
  assert.equal(model.marker.files.find((part) => part.name === 'model.safetensors').sha256, sha256(WEIGHTS));
  // The same commit again is not fetched again; and without a network it opens all the same.
  server = new Server(new Map([api]));
  assert.deepEqual((await fetchIt('https://host.test/me/mine')).files, FILES);
  assert.equal(server.requests.length, 1);
  globalThis.fetch = async () => {
    throw new TypeError('Failed to fetch');
  };
  assert.deepEqual((await fetchIt('https://host.test/me/mine')).files, FILES);
});

test('shards are fetched with their index', async () => {
  const shards = new Map([...FILES].filter(([name]) => name !== 'model.safetensors'));
  shards.set('model-00001-of-00002.safetensors', WEIGHTS.subarray(0, 5000)).set('model-00002-of-00002.safetensors', WEIGHTS.subarray(5000));
  const index = { weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors', c: 'model-00001-of-00002.safetensors' } };
  shards.set('model.safetensors.index.json', Buffer.from(JSON.stringify(index)));
  for (const [address, bytes] of [
    ['https://host.test/me/mine', new Map([...served(`/me/mine/resolve/${COMMIT}/`, shards), listed('/api/models/me/mine/revision/main?blobs=true', shards)])],
    ['https://host.test/plain/folder/of/mine/', served('/plain/folder/of/mine/', shards)],
  ]) {
    useFolder(new Folder());
    new Server(bytes);
    assert.deepEqual(new Map([...(await fetchIt(address)).files].sort()), new Map([...shards].sort()));
  }
});

test('a host that lists nothing is asked for each file, of the commit that it names', async () => {
  const folder = new Folder();
  useFolder(folder);
  const bytes = new Map([...served('/me/mine/resolve/main/'), ...served(`/me/mine/resolve/${COMMIT}/`)]);
  const server = new Server(bytes, { headers: { 'x-repo-commit': COMMIT } });
  assert.deepEqual((await fetchIt('https://host.test/me/mine/tree/main')).files, FILES);
  const fetched = server.requests.filter(({ url, method }) => method === 'GET' && url.endsWith('model.safetensors'));
  assert.deepEqual(fetched.map(({ url }) => url), [`${URL_OF_FOLDER}model.safetensors`]);
  assert.equal((await listModels(folder))[0].total, TOTAL);
});

test('a folder that holds no model is refused with what is missing', async () => {
  const lacking = (name) => new Map([...FILES].filter(([file]) => file !== name));
  for (const [files, word] of [[lacking('config.json'), 'config.json'], [lacking('tokenizer.json'), 'tokenizer.json'], [lacking('model.safetensors'), 'model.safetensors']]) {
    useFolder(new Folder());
    new Server(served('/some/where/deep/', files));
    await assert.rejects(fetchIt('https://host.test/some/where/deep/'), new RegExp(`holds no model that this page reads: ${word} is not there`));
    new Server(new Map([listed('/api/models/me/mine/revision/main?blobs=true', files)]));
    await assert.rejects(fetchIt('https://host.test/me/mine'), new RegExp(`holds no model that this page reads: ${word} is not there`));
  }
  new Server(WEIGHTS, { status: 401 });
  await assert.rejects(fetchIt('https://host.test/me/mine/tree/main'), /agreeing to its licence/);
  globalThis.fetch = async () => {
    throw new TypeError('Failed to fetch');
  };
  await assert.rejects(fetchIt('https://host.test/me/mine/tree/main'), /host\.test does not answer/);
});

test('an address that is no folder is a file', async () => {
  useFolder(new Folder());
  new Server(new Map([['/download?id=5', WEIGHTS]]));
  const { blob } = await fetchModel({ kind: 'address', url: 'https://host.test/download?id=5' }, new AbortController().signal, () => {});
  assert.deepEqual(Buffer.from(await blob.arrayBuffer()), WEIGHTS);
});

test('a model of several files that cannot fit is refused as one', async () => {
  useFolder(new Folder(), { quota: 1e6, usage: 0 });
  const server = new Server(served(`/me/mine/resolve/${COMMIT}/`));
  const files = ORDER.files.map((part) => (part.name === 'model.safetensors' ? { ...part, size: 7e8 } : part));
  await assert.rejects(fetchIt({ ...ORDER, files }), /mine needs 700 MB more on this device/);
  assert.deepEqual(server.requests, []);
});
