// What is said of models: those of the catalogue, how they fit, how far a download is.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { actionFor, countParameters, describeEntry, describeFit, describePlanning, describeSource, isFloat, sourceOfEntry, valueOf } from '../../../static/ui/model/catalogue.js';
import { describeModel, isFetching } from '../../../static/ui/model/words.js';
import { state } from '../../../static/store.js';

const CATALOGUE = JSON.parse(readFileSync(new URL('../../../static/catalogue.json', import.meta.url), 'utf8'));
const BUDGET = { budget_bytes: 4e9, is_assumed: false, is_software: false };
const fit = (fields) => ({ verdict: 'fits', reason: '', is_refused: false, weights_bytes: 4e8, total_bytes: 9e8, ...fields });

test('parameters follow from the shape', () => {
  const counted = new Map(CATALOGUE.map(({ name, config }) => [name, countParameters(config)]));
  assert.deepEqual([...counted], [['SmolLM2-135M-Instruct', 134_515_008], ['SmolLM2-360M-Instruct', 361_821_120], ['SmolLM2-1.7B-Instruct', 1_711_376_384]]);
});

test('an entry tells its size, type, licence, context and host', () => {
  const [bundled, small, , folder] = CATALOGUE;
  assert.equal(describeEntry(small), '362 M parameters · 386 MB, Q8_0 · Apache-2.0 · context 8,192');
  assert.equal(describeSource(bundled), 'Comes with the page.');
  assert.match(describeSource(small), /^Fetched from \S+\.$/);
  assert.match(describeSource(folder), /^Fetched from \S+, 4 files\.$/);
  assert.equal(describeEntry(folder), '135 M parameters · 271 MB, BF16 · Apache-2.0 · context 8,192');
  assert.match(describeSource(folder, { bytes: 120e6, isComplete: false }), /^120 MB of 271 MB have arrived from \S+; the download goes on from there\.$/);
  assert.equal(describeSource(folder, { bytes: folder.bytes, isComplete: true }), 'Lies on this device.');
  assert.equal(valueOf(bundled), 'bundled');
  assert.equal(valueOf(folder), `url:${folder.source.url}`);
  assert.deepEqual(sourceOfEntry(small), { ...small.source, size: small.bytes });
  assert.deepEqual(CATALOGUE.map(isFloat), [false, false, false, true, true]);
});

test('the verdict comes with its figures, and assumed memory is called so', () => {
  assert.equal(describeFit(fit(), BUDGET), 'Fits: training it takes 900 MB of 4.00 GB');
  assert.equal(describeFit(fit({ verdict: 'tight' }), { ...BUDGET, is_assumed: true }), 'Tight: training it takes 900 MB of the 4.00 GB assumed');
  assert.equal(describeFit(fit({ verdict: 'none', reason: 'too large' }), BUDGET), 'Does not fit: too large');
  assert.equal(describeFit(fit({ verdict: 'unsupported', reason: 'qwen2' }), BUDGET), 'Does not load: qwen2');
});

test('beside the memory stands the time, or that it is slow', () => {
  assert.match(describeFit(fit({ seconds: 7200 }), BUDGET), /of 4\.00 GB, and ≈ 2 h for 10,000 tokens of text$/);
  assert.match(describeFit(fit({ seconds: null }), { ...BUDGET, is_software: true }), /; slow here, where no GPU computes$/);
  assert.equal(describeFit(fit({ verdict: 'none', reason: 'too large' }), { ...BUDGET, is_software: true }), 'Does not fit: too large');
});

test('while it is planned it is said what is waited for', () => {
  assert.match(describePlanning({ hasPython: false, isTraining: false }), /as soon as Python has started\.$/);
  assert.match(describePlanning({ hasPython: true, isTraining: true }), /beside the run\.$/);
  assert.equal(describePlanning({ hasPython: true, isTraining: false }), 'Whether they fit is being planned.');
});

test('only a limit that the device told refuses a model', () => {
  assert.equal(actionFor(null), 'load');
  assert.equal(actionFor(fit()), 'load');
  assert.equal(actionFor(fit({ verdict: 'none' })), 'try');
  assert.equal(actionFor(fit({ verdict: 'none', is_refused: true })), 'refuse');
  assert.equal(actionFor(fit({ verdict: 'unsupported', is_refused: true })), 'refuse');
});

test('a download tells its bytes, speed and time left, as far as they are known', () => {
  const said = (loaded_bytes, total_bytes, rate) => describeModel({ ...state, modelProgress: { name: 'a', stage: 'download', loaded_bytes, total_bytes } }, rate, true);
  assert.deepEqual(said(0, 0, null), { text: 'Waiting for the host to answer', fraction: null });
  assert.deepEqual(said(5e6, 0, null), { text: 'Fetching 5.0 MB', fraction: null });
  assert.equal(said(5e6, 0, { bytesPerSecond: 2e6, secondsLeft: null }).text, 'Fetching 5.0 MB, 2.0 MB/s');
  assert.deepEqual(said(5e6, 20e6, null), { text: 'Fetching 5.0 MB of 20 MB', fraction: 0.25 });
  assert.equal(said(5e6, 20e6, { bytesPerSecond: 400.4, secondsLeft: 75 }).text, 'Fetching 5.0 MB of 20 MB, 400 B/s, 1 min 15 s left');
  assert.equal(isFetching({ name: 'a', stage: 'download', loaded_bytes: 20, total_bytes: 20 }), false);
  const staged = (stage) => describeModel({ ...state, modelProgress: { name: 'a', stage, loaded_bytes: 5e6, total_bytes: 20e6 } }, null, true);
  assert.deepEqual(staged('check'), { text: 'Checking what has arrived before: 5.0 MB of 20 MB', fraction: 0.25 });
  assert.deepEqual(staged('offline'), { text: 'No network: 5.0 MB have arrived, the download goes on when it is back', fraction: null });
});

test('each state of the model has its words', () => {
  const told = (changes, wasAsked = true) => describeModel({ ...state, ...changes }, null, wasAsked).text;
  const gpu = { name: 'g', backend: '', is_software: false, features: [], variants: {} };
  assert.equal(told({ supported: false }), 'Needs a GPU: see above.');
  assert.equal(told({}), 'Starting…');
  assert.equal(told({ isWaiting: true }), 'Waits for the other tab.');
  assert.equal(told({ boot: { text: 'Fetching Python', loaded_bytes: 1, total_bytes: 2 } }), 'Fetching Python');
  assert.equal(told({ gpu, boot: { text: 'Starting the studio', loaded_bytes: 0, total_bytes: 0 } }, false), 'Choose a model.');
  assert.equal(told({ status: 'loading' }), 'Opening the model');
  assert.equal(told({ status: 'error' }), 'No model is loaded.');
  const model = { name: 'm', architecture: 'llama', num_parameters: 134.5e6, num_layers: 30, vocab_size: 1, max_context: 8192, weights_bytes: 98e6, quantization: 'nf4' };
  assert.equal(told({ model }), '135 M parameters · 30 layers · 98 MB on the GPU, nf4 · chat up to 8,192 tokens');
});
