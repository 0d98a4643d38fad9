// What the values of settings are called, which adapter answers, which download is the newer one.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { useCatalogue } from '../../../static/messages/messages.js';
import { state } from '../../../static/store.js';
import { newestOf } from '../../../static/ui/adapter/newest.js';
import { voiceOf } from '../../../static/ui/chat/voices.js';
import { choiceText } from '../../../static/ui/plan/choices.js';

/** @param {string} path */
const read = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const GERMAN = JSON.parse(read('static/messages/de.json'));
/** The same in German. */
const NAMES = ['linear', 'adamw', 'adafactor'];
const SETTINGS = {
  schedule: 'SCHEDULES', optimizer: 'OPTIMIZERS', packing: 'PACKINGS', curriculum: 'CURRICULA', gradient_checkpointing: 'CHECKPOINTINGS',
  rank_schedule: 'RANK_SCHEDULES', mode: 'MODES', full_weights: 'FULL_WEIGHTS',
};

test('every value of a setting is told in words, and as files have it', () => {
  const source = read('app/config/choices.py');
  for (const [setting, name] of Object.entries(SETTINGS)) {
    const values = [...(new RegExp(`^${name}: .* = \\((.*)\\)$`, 'm').exec(source)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(([, value]) => value);
    assert.ok(values.length > 1, setting);
    useCatalogue('de', GERMAN);
    for (const value of values) assert.ok(NAMES.includes(value) || choiceText(setting, value).endsWith(` (${value})`), `${setting}: ${value}`);
    useCatalogue('en', {});
  }
  assert.equal(choiceText('schedule', 'constant'), 'constant');
  assert.equal(choiceText('adapter_bits', '2'), '2');
  useCatalogue('de', GERMAN);
  assert.equal(choiceText('schedule', 'constant'), 'konstant (constant)');
  useCatalogue('en', {});
});

test('two adapters of one name are told apart by their steps', () => {
  const adapter = (id, name, steps) => /** @type {any} */ ({ id, name, steps, strength: 1 });
  const all = [adapter(1, 'Run 1', 12), adapter(2, 'Run 1', 19), adapter(3, 'Run 2', 5)];
  state.shelf = all;
  assert.deepEqual(all.map((one) => voiceOf(one).label), ['Run 1, 12 steps', 'Run 1, 19 steps', 'Run 2']);
  state.shelf = all.slice(0, 1);
  assert.equal(voiceOf(all[0]).label, 'LoRA');
  state.shelf = [];
});

test('what was made last is offered first', () => {
  const none = { adapters: [], tuned: '' };
  const both = { adapters: ['1/5'], tuned: '8' };
  assert.equal(newestOf('tuned', none, { ...both, tuned: '' }), 'adapter');
  assert.equal(newestOf('adapter', { ...both, tuned: '' }, both), 'tuned');
  assert.equal(newestOf('tuned', both, both), 'tuned');
  assert.equal(newestOf('tuned', both, { ...both, adapters: ['1/5', '2/1'] }), 'adapter');
  assert.equal(newestOf('tuned', both, { ...both, adapters: ['1/9'] }), 'adapter');
  assert.equal(newestOf('tuned', both, { ...both, adapters: [] }), 'tuned');
});

test('a whole model is not called LoRA where one chooses who answers', () => {
  assert.doesNotMatch(/id="voice-chosen".*/.exec(read('static/index.html'))?.[0] ?? 'LoRA', /LoRA/);
});

test('colours that say something stay where colours are forced', () => {
  const forced = /@media \(forced-colors: active\) \{[\s\S]*?\n\}/.exec(read('static/css/controls.css'))?.[0] ?? '';
  for (const place of ['.key::before', '.dot', '.memory-bar span', '.run-mark']) assert.ok(forced.includes(place), place);
});
