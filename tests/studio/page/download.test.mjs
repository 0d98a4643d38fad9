// The model's way into the browser: kept, continued, checked, and never lost to a full disk.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { download } from '../../../static/download/download.js';
import { Folder, Server, sha256, useFolder } from './opfs.mjs';

const BYTES = Buffer.from(Array.from({ length: 10_000 }, (_, index) => (index * 31 + (index >> 8)) & 255));
const OTHER = Buffer.from(BYTES.map((byte) => byte ^ 255));
const URL_OF_MODEL = new URL('https://example.test/models/a.gguf');

const wanted = (bytes = BYTES, known = true) => ({
  url: URL_OF_MODEL, name: 'a.gguf', size: known ? bytes.length : 0, sha256: known ? sha256(bytes) : '',
});

async function fetchIt(spec = wanted(), signal = new AbortController().signal, onProgress = () => {}) {
  const { blob, name } = await download(spec, signal, onProgress);
  assert.equal(name, 'a.gguf');
  return Buffer.from(await blob.arrayBuffer());
}

test('a second visit needs no network', async () => {
  const folder = new Folder();
  useFolder(folder);
  const server = new Server(BYTES);
  const progress = [];
  assert.deepEqual(await fetchIt(wanted(), undefined, (told) => progress.push(told)), BYTES);
  assert.deepEqual(progress.at(-1), { name: 'a.gguf', loaded: 10_000, total: 10_000 });
  assert.deepEqual(await fetchIt(), BYTES);
  assert.equal(server.requests.length, 1);
  assert.equal(folder.locked.size, 0);
});

test('a broken connection is taken up where it broke', async () => {
  useFolder(new Folder());
  const server = new Server(BYTES, { breaks: [3000] });
  assert.deepEqual(await fetchIt(), BYTES);
  assert.deepEqual(server.ranges, ['', 'bytes=3000-']);
});

test('a server that cannot continue a file sends it whole', async () => {
  useFolder(new Folder());
  const server = new Server(BYTES, { breaks: [3000], resumes: false });
  assert.deepEqual(await fetchIt(), BYTES);
  assert.deepEqual(server.ranges, ['', 'bytes=3000-']);
});

test('a visit that was cut off is continued by the next', async () => {
  const folder = new Folder();
  useFolder(folder);
  const abort = new AbortController();
  let server = new Server(BYTES);
  const cut = fetchIt(wanted(), abort.signal, ({ loaded }) => loaded >= 1000 && abort.abort());
  await assert.rejects(cut, /chosen meanwhile/);
  assert.equal(folder.locked.size, 0);
  server = new Server(BYTES);
  assert.deepEqual(await fetchIt(), BYTES);
  assert.match(server.ranges[0], /^bytes=[1-9]\d*000-$/);
});

test('a part of another version is not continued', async () => {
  const folder = new Folder();
  useFolder(folder);
  new Server(BYTES, { breaks: [3000, 0, 0, 0] });
  await assert.rejects(fetchIt(), /could not be fetched/);
  const server = new Server(OTHER);
  assert.deepEqual(await fetchIt(wanted(OTHER)), OTHER);
  assert.deepEqual(server.ranges, ['']);
});

test('a damaged file is refused and fetched anew', async () => {
  useFolder(new Folder());
  const spoiled = Buffer.from(BYTES);
  spoiled[5000] ^= 1;
  new Server(spoiled);
  await assert.rejects(fetchIt(), /damaged/);
  const server = new Server(BYTES);
  assert.deepEqual(await fetchIt(), BYTES);
  assert.deepEqual(server.ranges, ['']);
});

test('a full disk in mid-download does not stop it', async () => {
  const folder = new Folder(4500);
  useFolder(folder);
  const server = new Server(BYTES);
  assert.deepEqual(await fetchIt(), BYTES);
  assert.equal(server.requests.length, 1);
  assert.equal(folder.locked.size, 0);
});

test('without a private file system the model stays in memory', async () => {
  useFolder(null);
  new Server(BYTES);
  assert.deepEqual(await fetchIt(), BYTES);
});

test('a second tab that finds the file in use goes on in memory', async () => {
  const folder = new Folder();
  useFolder(folder);
  const name = `${sha256(Buffer.from(URL_OF_MODEL.href)).slice(0, 16)}-a.gguf`;
  await folder.getFileHandle(name, { create: true });
  folder.locked.add(name);
  new Server(BYTES);
  assert.deepEqual(await fetchIt(), BYTES);
  assert.equal(folder.files.get(name).length, 0);
});

test('an address that answers 404 is not tried again', async () => {
  useFolder(new Folder());
  const server = new Server(BYTES, { status: 404 });
  await assert.rejects(fetchIt(), /404/);
  assert.equal(server.requests.length, 1);
});

test('a file of unknown hash is asked for its version, and fetched again when it changed', async () => {
  useFolder(new Folder());
  const spec = wanted(BYTES, false);
  let server = new Server(BYTES);
  assert.deepEqual(await fetchIt(spec), BYTES);
  assert.deepEqual(await fetchIt(spec), BYTES);
  assert.deepEqual(server.requests.map(({ method }) => method), ['GET', 'HEAD']);
  server = new Server(OTHER, { etag: '"two"' });
  assert.deepEqual(await fetchIt(spec), OTHER);
});
