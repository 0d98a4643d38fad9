// The introduction's steps in every state, and the word for weak devices.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { state } from '../../../static/store.js';
import { describeDevice, describeSteps } from '../../../static/ui/first/steps.js';
import { settingAtFault } from '../../../static/ui/plan/problems.js';

const model = { name: 'SmolLM2', architecture: 'llama', num_parameters: 1, num_layers: 1, vocab_size: 1, max_context: 1, weights_bytes: 1, quantization: 'none' };
const plan = { seconds: 75, total_bytes: 4e8 };
const run = { done: null, failed: false, steps: [] };
const states = (changes) => describeSteps({ ...state, ...changes }).map((step) => step.state).join(' ');
const texts = (changes) => describeSteps({ ...state, ...changes }).map((step) => step.text);

test('the way from an empty page to a trained model', () => {
  assert.equal(states({}), 'working current waiting waiting');
  assert.equal(states({ hasCorpus: true }), 'working done waiting waiting');
  assert.equal(states({ status: 'ready', model }), 'done current waiting waiting');
  const ready = { status: 'ready', model, hasCorpus: true, count: { num_tokens: 1200, num_characters: 1 } };
  assert.equal(states(ready), 'done done waiting waiting');
  assert.equal(states({ ...ready, plan }), 'done done current waiting');
  assert.deepEqual(texts({ ...ready, plan }).slice(1, 3), ['1,200 tokens', 'press Train: about 75 s, 400 MB']);
  assert.equal(states({ ...ready, plan, run }), 'done done working waiting');
  assert.equal(states({ ...ready, plan, run: { ...run, done: {} }, adapter: {} }), 'done done done current');
});

test('what goes wrong is named at its step', () => {
  assert.equal(states({ supported: false, status: 'error' }), 'failed current waiting waiting');
  assert.equal(states({ status: 'error' }), 'failed current waiting waiting');
  assert.equal(states({ status: 'ready', model, hasCorpus: true, planProblem: 'too short' }), 'done failed waiting waiting');
  assert.equal(states({ status: 'ready', model, hasCorpus: true, plan, run: { ...run, failed: true } }), 'done done current waiting');
});

test('a download tells its share', () => {
  const progress = { name: 'a', stage: 'download', loaded_bytes: 42, total_bytes: 100 };
  assert.equal(texts({ modelProgress: progress })[0], 'fetching, 42 %');
  assert.equal(texts({ modelProgress: { ...progress, stage: 'gpu' } })[0], 'on its way to the GPU');
});

test('a weak device is named, another is not', () => {
  const gpu = { name: 'g', backend: '', is_software: false, features: ['shader-f16'], variants: {} };
  assert.equal(describeDevice(null), '');
  assert.equal(describeDevice(gpu), '');
  assert.match(describeDevice({ ...gpu, features: [] }), /no 16-bit floats/);
  assert.match(describeDevice({ ...gpu, is_software: true }), /in software/);
});

test('a problem finds the edited setting it is about', () => {
  const field = (name, label) => ({ name, label, help: '', kind: 'int', choices: [], default: 1, optional: false });
  const fields = [field('rank', 'Rank'), field('rank_schedule', 'Rank schedule'), field('steps', 'Steps')];
  const edits = { rank: 0, rank_schedule: 'x' };
  assert.equal(settingAtFault('Rank must be 1 or more.', fields, edits)?.name, 'rank');
  assert.equal(settingAtFault('Rank schedule must be one of …', fields, edits)?.name, 'rank_schedule');
  assert.equal(settingAtFault('Steps must be 1 or more.', fields, edits), undefined);
});
