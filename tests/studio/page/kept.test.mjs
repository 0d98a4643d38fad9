// A tab that waited takes up what the other one changed, and keeps what was changed in it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

/** @type {Map<string, string>} */
const stored = new Map();
globalThis.localStorage = /** @type {any} */ ({
  getItem: (/** @type {string} */ name) => stored.get(name) ?? null,
  setItem: (/** @type {string} */ name, /** @type {string} */ text) => stored.set(name, text),
  removeItem: (/** @type {string} */ name) => stored.delete(name),
});
const { holdBack, itsTurn, keep, kept, onReread, writeAgain } = await import('../../../static/kept/kept.js');

/** @param {string} name @param {unknown} value what the other tab keeps */
const other = (name, value) => stored.set(`lora-lab.${name}`, JSON.stringify(value));

test('what the other tab changed is taken up, what this one changed is written', async () => {
  other('settings', { steps: 5 });
  other('preset', 'quick');
  other('chat', { seed: 1 });
  holdBack();
  /** @type {[string, unknown][]} */
  const heard = [];
  for (const name of ['settings', 'preset', 'chat', 'language']) onReread(name, (now) => heard.push([name, now]));
  keep('settings', { steps: 5 }); // as it was: no change
  keep('preset', 'thorough'); // chosen here while it waited
  assert.deepEqual(kept('preset'), 'quick');
  other('settings', { steps: 9 });
  other('preset', 'balanced');
  other('language', 'de');
  writeAgain();
  await itsTurn;
  assert.deepEqual(heard, [['settings', { steps: 9 }], ['language', 'de']]);
  assert.deepEqual(kept('settings'), { steps: 9 });
  assert.equal(kept('preset'), 'thorough');
  assert.deepEqual(kept('chat'), { seed: 1 });
});
