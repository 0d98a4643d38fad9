// Checkpoints in pieces: whole under their name or not there, whatever happens in between.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkpointStore } from '../../../static/kept/checkpoint-store.js';
import { Folder, useFolder } from './opfs.mjs';

const NAME = 'checkpoint-0badcafe-00000004.safetensors';
const HEADER = Uint8Array.of(9, 9, 9, 9);
const PIECES = [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5, 6, 7, 8)];

function opened(room) {
  const root = new Folder(room);
  useFolder(root);
  const folder = new Folder(room);
  root.folders.set('checkpoints', folder);
  return folder;
}

// Every step of a write, as a list: a tab can be closed between any two.
async function* writing(name = NAME) {
  const part = await checkpointStore.create(name);
  yield part;
  let at = HEADER.length;
  for (const piece of PIECES) {
    await part.write(at, piece);
    at += piece.length;
    yield part;
  }
  await part.write(0, HEADER);
  yield part;
  assert.equal(await part.keep(), true);
  yield part;
}

async function write(name) {
  for await (const part of writing(name)) void part;
}

test('a file has its name when it is whole, and is read in slices', async () => {
  const folder = opened();
  await write();
  assert.deepEqual(await checkpointStore.names(), [NAME]);
  assert.equal(folder.locked.size, 0);
  const file = await checkpointStore.open(NAME);
  assert.equal(file.size, 12);
  assert.deepEqual([...new Uint8Array(await file.slice(2, 7).arrayBuffer())], [9, 9, 1, 2, 3]);
  assert.deepEqual([...await checkpointStore.read(NAME)], [9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(await checkpointStore.open('another'), undefined);
  assert.equal(await checkpointStore.read('another'), undefined);
});

test('a tab that is closed between two writes leaves no file of that name, and the next begins anew', async () => {
  for (let steps = 1; steps <= 4; steps += 1) {
    const folder = opened();
    let left = steps;
    for await (const part of writing()) {
      void part;
      left -= 1;
      if (!left) break;
    }
    assert.deepEqual(await checkpointStore.names(), [`${NAME}.part`]);
    folder.locked.clear(); // as the browser does for a page that is gone
    await write();
    assert.deepEqual(await checkpointStore.names(), [NAME]);
    assert.equal((await checkpointStore.read(NAME)).length, 12);
  }
});

test('what reads back otherwise is not kept', async () => {
  const folder = opened();
  const part = await checkpointStore.create(NAME);
  await part.write(0, HEADER);
  await part.write(4, PIECES[1]);
  folder.files.get(`${NAME}.part`)[5] ^= 1;
  assert.equal(await part.keep(), false);
  await part.drop();
  assert.deepEqual(await checkpointStore.names(), []);
  assert.equal(folder.locked.size, 0);
});

test('a full disk is told, and leaves nothing behind', async () => {
  const folder = opened(6);
  await write('small').catch(() => {});
  for (const name of await checkpointStore.names()) await checkpointStore.remove(name);
  folder.locked.clear();
  const part = await checkpointStore.create(NAME);
  await part.write(4, Uint8Array.of(1, 2));
  const told = (error) => Object.getPrototypeOf(error) === Error.prototype && error.cause.name === 'QuotaExceededError';
  await assert.rejects(part.write(6, Uint8Array.of(3)), told); // Python takes no other kind
  await part.drop();
  await part.drop(); // once is enough
  assert.deepEqual(await checkpointStore.names(), []);
});

test('the bytes of Python are read where they lie, and let go', async () => {
  opened();
  let released = 0;
  const view = { getBuffer: () => ({ data: Uint8Array.of(1, 2), release: () => { released += 1; } }) };
  const part = await checkpointStore.create(NAME);
  await part.write(0, view);
  await part.keep();
  assert.equal(released, 1);
  assert.deepEqual([...await checkpointStore.read(NAME)], [1, 2]);
});

test('room is what the browser would give, less what is in use', async () => {
  opened();
  assert.equal(await checkpointStore.room(), 1e12);
  navigator.storage.estimate = async () => ({ quota: 10, usage: 25 });
  assert.equal(await checkpointStore.room(), 0);
  navigator.storage.estimate = async () => ({});
  assert.equal(await checkpointStore.room(), undefined);
});
