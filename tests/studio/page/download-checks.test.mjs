// What a download does about hashes, changed files, hosts that refuse, and a disk without room.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { download } from '../../../static/download/download.js';
import { hashStored, newHasher } from '../../../static/download/hash.js';
import { Folder, Server, sha256, useFolder } from './opfs.mjs';

const BYTES = Buffer.from(Array.from({ length: 10_000 }, (_, index) => (index * 31 + (index >> 8)) & 255));
const OTHER = Buffer.from(BYTES.map((byte) => byte ^ 255));
const MB = 1_000_000;

/** @param {object} [changes] */
const wanted = (changes = {}) => ({ url: new URL('https://example.test/models/a.gguf'), name: 'a.gguf', size: BYTES.length, sha256: sha256(BYTES), ...changes });
const UNKNOWN = { size: 0, sha256: '' };

/** @param {object} [changes] @param {(progress: object) => void} [onProgress] @param {AbortSignal} [signal] */
async function fetchIt(changes, onProgress = () => {}, signal = new AbortController().signal) {
  const { blob } = await download(wanted(changes), signal, onProgress);
  return Buffer.from(await blob.arrayBuffer());
}

/** Leave a part of the file on the device. @param {object} [changes] */
async function cutOff(changes) {
  const abort = new AbortController();
  const cut = fetchIt(changes, ({ loaded }) => loaded >= 1000 && abort.abort(), abort.signal);
  await assert.rejects(cut, /chosen meanwhile/);
}

test('the hash is that of all bytes, however they come', async () => {
  const hasher = await newHasher();
  for (const size of [1, 63, 64, 65, 4096, 1 << 20]) {
    hasher.init();
    const bytes = Buffer.alloc(3 * size, size & 255);
    for (let at = 0; at < bytes.length; at += size) hasher.update(bytes.subarray(at, at + size));
    assert.equal(hasher.digest(), sha256(bytes));
  }
});

test('what is stored is hashed in steps before it is gone on with, and can be cancelled', async () => {
  useFolder(new Folder());
  const big = Buffer.alloc(9 << 20, 7);
  const stored = { size: big.length, read: (at, size) => big.subarray(at, at + size) };
  const hasher = await newHasher();
  const told = [];
  await hashStored(hasher, stored, new AbortController().signal, (checked) => told.push(checked));
  assert.deepEqual(told, [4 << 20, 8 << 20, 9 << 20]);
  assert.equal(hasher.digest(), sha256(big));
  const abort = new AbortController();
  const reason = new Error('enough');
  await assert.rejects(hashStored(hasher, stored, abort.signal, () => abort.abort(reason)), reason);
});

test('a part is hashed from the device, its rest as it arrives', async () => {
  const folder = new Folder();
  useFolder(folder);
  new Server(BYTES);
  await cutOff();
  const stages = [];
  const server = new Server(BYTES);
  assert.deepEqual(await fetchIt({}, ({ stage }) => stages.push(stage)), BYTES);
  assert.equal(stages[0], 'check');
  assert.match(server.ranges[0], /^bytes=[1-9]000-$/);
  const [[, at, size]] = folder.reads;
  assert.equal(`${at}+${size}`, `0+${/\d+/.exec(server.ranges[0])[0]}`);
});

test('a part that was spoilt on the device is found out, removed, and fetched anew', async () => {
  const folder = new Folder();
  useFolder(folder);
  new Server(BYTES);
  await cutOff();
  const [name] = [...folder.files.keys()].filter((key) => !key.endsWith('.json'));
  folder.files.get(name)[10] ^= 1;
  const server = new Server(BYTES);
  await assert.rejects(fetchIt(), /SHA-256 is wrong.*removed/);
  assert.deepEqual([...folder.files.keys()], []);
  assert.deepEqual(await fetchIt(), BYTES);
  assert.equal(server.ranges.at(-1), '');
});

test('a file that changed between two parts is fetched from its start', async () => {
  useFolder(new Folder());
  new Server(BYTES, { etag: '"one"' });
  await cutOff(UNKNOWN);
  // The host heeds Range and answers for the new version.
  const server = new Server(OTHER, { etag: '"two"' });
  assert.deepEqual(await fetchIt(UNKNOWN), OTHER);
  assert.match(server.ranges[0], /^bytes=/);
  assert.equal(server.ranges[1], '');
});

test('nothing is asked of a host that needs its leave', async () => {
  useFolder(new Folder());
  new Server(BYTES);
  await cutOff();
  const server = new Server(BYTES);
  await fetchIt();
  // A header but Range makes the browser send OPTIONS first, which hosts of large files refuse.
  assert.deepEqual(server.requests.flatMap(({ headers }) => headers), ['Range']);
});

test('a part without a version is not continued', async () => {
  useFolder(new Folder());
  new Server(BYTES, { etag: '' });
  await cutOff(UNKNOWN);
  const server = new Server(BYTES, { etag: '' });
  assert.deepEqual(await fetchIt(UNKNOWN), BYTES);
  assert.deepEqual(server.ranges, ['']);
});

test('a whole part whose end was not noted is checked, not fetched', async () => {
  const folder = new Folder();
  useFolder(folder);
  new Server(BYTES);
  await fetchIt();
  const name = [...folder.files.keys()].find((key) => key.endsWith('.json'));
  folder.files.set(name, Buffer.from(JSON.stringify({ ...JSON.parse(folder.files.get(name)), complete: false })));
  const server = new Server(BYTES);
  assert.deepEqual(await fetchIt(), BYTES);
  assert.deepEqual(server.requests, []);
});

test('a file of another size than the catalogue says is refused at once', async () => {
  useFolder(new Folder());
  const server = new Server(Buffer.concat([BYTES, BYTES]));
  await assert.rejects(fetchIt(), /has 20,000 bytes .* where 10,000 were expected/);
  assert.equal(server.requests.length, 1);
});

test('each refusal has its sentence and is not tried again; nothing of it stays', async () => {
  const folder = new Folder();
  useFolder(folder);
  for (const [status, words] of [[404, /There is no file at https:/], [403, /agreeing to its licence/], [401, /agreeing to its licence/], [400, /answered 400/]]) {
    const server = new Server(BYTES, { status });
    await assert.rejects(fetchIt(UNKNOWN), words);
    assert.equal(server.requests.length, 1);
  }
  new Server(BYTES, { type: 'text/html; charset=utf-8' });
  await assert.rejects(fetchIt(UNKNOWN), /is a web page, not a model/);
  assert.deepEqual([...folder.files.keys()], []);
});

test('no network, and a host that may not be read, are told apart where they can be', async () => {
  useFolder(new Folder(), { onLine: false });
  globalThis.fetch = async () => {
    throw new TypeError('Failed to fetch');
  };
  await assert.rejects(fetchIt(), /there is no network. Models that lie on this device load/);
  useFolder(new Folder());
  const { setTimeout: plain } = globalThis;
  globalThis.setTimeout = (act) => plain(act);
  try {
    await assert.rejects(fetchIt(), /example\.test does not answer\. Check the connection/);
    globalThis.fetch = async (url, { mode } = {}) => {
      if (mode === 'no-cors') return { type: 'opaque', body: null };
      throw new TypeError('Failed to fetch');
    };
    await assert.rejects(fetchIt(), /example\.test forbids other pages to read its files \(CORS\)/);
  } finally {
    globalThis.setTimeout = plain;
  }
});

test('a network that comes back is waited for', async () => {
  useFolder(new Folder(), { onLine: false });
  const server = new Server(BYTES, { breaks: [3000] });
  const stages = [];
  const target = new EventTarget();
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target) });
  const fetched = fetchIt({}, ({ stage }) => {
    stages.push(stage);
    if (stage === 'offline') setTimeout(() => target.dispatchEvent(new Event('online')), 20);
  });
  assert.deepEqual(await fetched, BYTES);
  assert.ok(stages.includes('offline'));
  assert.deepEqual(server.ranges, ['', 'bytes=3000-']);
});

test('what goes forward is never given up', async () => {
  useFolder(new Folder());
  const server = new Server(BYTES, { breaks: [2000, 1000, 1000, 1000, 1000, 1000] });
  const { setTimeout: plain } = globalThis;
  globalThis.setTimeout = (act) => plain(act);
  try {
    assert.deepEqual(await fetchIt(), BYTES);
  } finally {
    globalThis.setTimeout = plain;
  }
  assert.equal(server.requests.length, 7);
});

test('what cannot fit is refused before a byte is fetched, with what could be deleted', async () => {
  const folder = new Folder();
  useFolder(folder);
  new Server(BYTES);
  await fetchIt({ url: new URL('https://example.test/old.gguf'), name: 'old.gguf' });
  useFolder(folder, { quota: 900 * MB, usage: 600 * MB });
  const server = new Server(BYTES);
  await assert.rejects(fetchIt({ size: 700 * MB }), /needs 700 MB more on this device, .* 300 MB: delete models .* such as old\.gguf \(0 MB\)/);
  assert.deepEqual(server.requests, []);
  // What is small enough goes on in memory.
  useFolder(folder, { quota: 1000, usage: 0 });
  assert.deepEqual(await fetchIt(), BYTES);
});

test('where the size is not known before, room is looked for when it is', async () => {
  useFolder(new Folder(), { quota: 100 * MB, usage: 0 });
  new Server(BYTES, { headers: { 'content-length': String(800 * MB) } });
  await assert.rejects(fetchIt(UNKNOWN), /needs 800 MB more on this device.*make room on the disk/);
});
