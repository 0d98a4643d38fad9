// The history of runs between visits: its format, its files, what a damaged one costs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeRun, readDescription, readLog, RecordError, sampleLine, stepLine, VERSION } from '../../../static/kept/run-format.js';
import { RunRecorder } from '../../../static/kept/run-recorder.js';
import { MOST_BYTES, MOST_RUNS, newKey, PART_SIZE, RunStore, timeOf, tooMany } from '../../../static/kept/run-store.js';
import { csvOf } from '../../../static/ui/console/csv.js';
import { Tree, useTree } from './tree.mjs';

const BEGUN = Date.UTC(2026, 10, 21, 12, 30, 5, 250);
const SETTINGS = { rank: 4, learning_rate: 0.001, modules: ['q', 'v'], epochs: null, sample_prompt: 'my secret' };

/** @param {number} step */
const made = (step, more = {}) => ({
  step, loss: 4 / 3 + 1 / step, grad_norm: 0.1 + 0.2, learning_rate: 1e-3 / step, num_tokens: 128 * step, tokens_per_second: 1000 / 7, skipped: false, seconds: 0.1 + step / 1e3, ranks: null, gpu_busy: null, ...more,
});
const steps = (from, to, more) => Array.from({ length: to - from + 1 }, (_, index) => made(from + index, more));
const runOf = (more = {}) => ({
  key: newKey(BEGUN), number: 3, name: '', model: 'Tiny', startedAt: BEGUN, numSteps: 20, done: null, failed: false, phase: '', fraction: null, keptAt: 0, warning: '',
  plan: { settings: SETTINGS, suggested: SETTINGS, problem: 'x', num_steps: 20, num_tokens: 1000, num_eval_tokens: 0, tokens_per_step: 128, seconds: 9, bytes: { weights: 1 }, total_bytes: 1, optimizer_state_bytes: 1, occupancy: 1, modes: [{ warnings: ['much'] }] },
  steps: [], evaluations: [], samples: [], ...more,
});

/** Everything that a later visit finds. */
async function found(store = new RunStore()) {
  const all = [];
  for await (const record of store.readAll()) all.push(record);
  return all;
}

/** The run that a record tells. */
const readRun = ({ key, about, steps: log, samples }) => Object.assign(readDescription(about, key), readLog(log), { samples: readLog(samples).samples });

/** @param {{keepsText?: boolean}} [options] */
function setUp({ keepsText = true } = {}) {
  const tree = new Tree();
  useTree(tree);
  const asked = { keepsText };
  const store = new RunStore();
  return { tree, store, asked, recorder: new RunRecorder(store, () => asked.keepsText) };
}

test('a run comes back to the last bit', async () => {
  const { recorder } = setUp();
  const run = runOf({ name: 'the long one' });
  run.steps.push(...steps(1, 3), made(4, { loss: NaN, grad_norm: Infinity, skipped: true, ranks: { 'layers.0.q': 4 }, gpu_busy: 0.9 }), made(5, { gpu_busy: undefined, ranks: undefined }));
  run.evaluations.push({ step: 0, loss: 5, perplexity: Infinity }, { step: 4, loss: 2.5, perplexity: Math.exp(2.5) });
  run.samples.push({ step: 4, prompt: 'the "cat"', text: 'sat\non the\u2028mat' });
  await recorder.keep(run);
  const [record] = await found();
  const again = readRun(record);
  assert.equal(csvOf(again), csvOf(run));
  assert.deepEqual(again.steps[3], run.steps[3]);
  assert.deepEqual([again.evaluations, again.samples], [run.evaluations, run.samples]);
  assert.deepEqual([again.name, again.number, again.startedAt, again.done], ['the long one', 3, BEGUN, null]);
  assert.equal(again.numLost, 0);
});

test('a description holds no words of the person’s, and no advice', () => {
  const text = describeRun(runOf({ done: { steps: 20, stopped: false } }));
  assert.doesNotMatch(text, /secret|sample_prompt|much/);
  assert.deepEqual(readDescription(text, JSON.parse(text).key).done, { steps: 20, stopped: false });
});

test('what the model writes is kept only where texts are, and goes when they do', async () => {
  const { tree, recorder, asked } = setUp({ keepsText: false });
  const run = runOf({ steps: steps(1, 2), samples: [{ step: 2, prompt: 'my secret', text: 'is told' }] });
  await recorder.keep(run);
  const everything = () => JSON.stringify([...tree.names.get('history').names.get(run.key).names].map(([name, { text }]) => [name, text]));
  assert.doesNotMatch(everything(), /secret|told/);
  asked.keepsText = true;
  await recorder.keep(run);
  assert.match(everything(), /secret/);
  await recorder.forgetSamples();
  assert.doesNotMatch(everything(), /secret|told/);
  assert.equal((await found())[0].samples, '');
  assert.equal(recorder.store.bytes, (await found())[0].bytes);
  run.samples.push({ step: 3, prompt: 'a', text: 'b' });
  await recorder.keep(run);
  assert.equal(readRun((await found())[0]).samples.length, 2);
});

test('a write holds what is new, and costs a long run no more than a short one', async () => {
  const { tree, recorder } = setUp();
  const run = runOf();
  let most = 0;
  for (let first = 1; first <= 20_000; first += 10) {
    run.steps.push(...steps(first, first + 9));
    const before = tree.written;
    await recorder.keep(run);
    most = Math.max(most, tree.written - before);
  }
  assert.ok(most < PART_SIZE + 3000, `${most} characters in one write`);
  const [record] = await found();
  assert.equal(record.bytes, recorder.store.bytes);
  assert.deepEqual(readRun(record).steps, run.steps);
  const before = tree.written;
  await recorder.keep(run); // nothing is new
  assert.equal(tree.written, before);
});

test('a run that is gone on with is the same run, and no step is there twice', async () => {
  setUp();
  const run = runOf({ steps: steps(1, 10), evaluations: [{ step: 0, loss: 5, perplexity: 2 }, { step: 8, loss: 4, perplexity: 2 }, { step: 10, loss: 3.9, perplexity: 2 }], samples: [{ step: 8, prompt: 'a', text: 'b' }, { step: 10, prompt: 'a', text: 'c' }] });
  await new RunRecorder(new RunStore(), () => true).keep(run);

  // A reload; the last checkpoint is of step 8, and what came after takes another time.
  const store = new RunStore();
  const recorder = new RunRecorder(store, () => true);
  const [record] = await found(store);
  const earlier = readRun(record);
  recorder.adopt(earlier);
  const resumed = { ...earlier, steps: steps(1, 8), evaluations: run.evaluations.slice(0, 2), samples: run.samples.slice(0, 1) };
  await recorder.keep(resumed);
  resumed.steps.push(...steps(9, 12, { seconds: 7 }));
  resumed.evaluations.push({ step: 12, loss: 3, perplexity: 2 });
  resumed.samples.push({ step: 12, prompt: 'a', text: 'd' });
  await recorder.keep({ ...resumed, done: { steps: 12, stopped: false } });
  const [last, ...others] = await found();
  assert.equal(others.length, 0);
  const again = readRun(last);
  assert.deepEqual([again.steps, again.evaluations, again.samples], [resumed.steps, resumed.evaluations, resumed.samples]);
  assert.equal(again.done.steps, 12);
  assert.ok(!last.steps.includes(`${stepLine(made(1))}\n${stepLine(made(1))}`));
  assert.equal(last.steps.split('\n').filter((line) => line.startsWith('["s",3,')).length, 1, 'what both tell alike is written once');
});

test('a checkpoint that is ahead of the record brings what the crash lost', async () => {
  const { recorder } = setUp();
  const run = runOf({ steps: steps(1, 5) });
  await recorder.keep(run);
  await recorder.keep({ ...run, steps: steps(1, 9) });
  assert.deepEqual(readRun((await found())[0]).steps, steps(1, 9));
});

test('another course of the same steps takes the place of the first', async () => {
  const { recorder } = setUp();
  const run = runOf({ steps: steps(1, 5) });
  await recorder.keep(run);
  const other = steps(1, 4, { loss: 9 });
  await recorder.keep({ ...run, steps: other });
  assert.deepEqual(readRun((await found())[0]).steps, other);
});

test('a run that did nothing, or is not kept, leaves nothing', async () => {
  const { tree, recorder } = setUp();
  await recorder.keep(runOf());
  await recorder.keep(runOf({ key: '', steps: steps(1, 2) }));
  assert.equal(tree.names.size, 0);
  assert.deepEqual(await found(), []);
});

test('lines that are cut off or damaged are left out and counted; the rest is told', async () => {
  const { tree, recorder } = setUp();
  const run = runOf({ steps: steps(1, 5) });
  await recorder.keep(run);
  const name = 'steps-000001.jsonl';
  const log = tree.text('history', run.key, name);
  await tree.put(log.slice(0, -30), 'history', run.key, name);
  // What the next visit adds begins a part of its own, whatever this one ends with.
  const later = new RunRecorder(new RunStore(), () => true);
  const [cut] = await found(later.store);
  const again = readRun(cut);
  assert.equal(again.numLost, 1);
  assert.deepEqual(again.steps, steps(1, 4));
  later.adopt(again);
  again.steps.push(made(5));
  await later.keep(again);
  assert.deepEqual(readRun((await found())[0]).steps, steps(1, 5));

  const odd = [
    'null', '[]', '{}', '7', '["s"]', '["s",1,2]', '["s","1",1,1,1,1,1,1,0]', '["s",6,"no",1,1,1,1,1,0]', '["s",6,null,1,1,1,1,1,0]', '["s",6,1,1,1,1,1,1,2]', '["s",6,1,1,1,1,1,1,0,"x"]',
    '["s",6,1,1,1,1,1,1,0,null,[1]]', '["s",6,1,1,1,1,1,1,0,null,{"a":"b"}]', stepLine(made(2)), '["e",1]', '["e",1,{},1]', '["w",1,2,3]', '["z",1]', '["r"]', '\u0000\u0000', '["s",6,1',
  ];
  const told = readLog([...steps(1, 5).map(stepLine), ...odd, stepLine(made(6)), sampleLine({ step: 6, prompt: 'a', text: 'b' })].join('\n'));
  assert.equal(told.numLost, odd.length);
  assert.deepEqual(told.steps, steps(1, 6));
  assert.equal(told.samples.length, 1);
});

test('descriptions of other versions and damaged ones are told apart', () => {
  const run = runOf();
  const sound = JSON.parse(describeRun(run));
  const kindOf = (about) => {
    try {
      readDescription(typeof about === 'string' ? about : JSON.stringify(about), run.key);
      return 'sound';
    } catch (error) {
      assert.ok(error instanceof RecordError, String(error));
      return error.kind;
    }
  };
  assert.equal(kindOf(sound), 'sound');
  assert.equal(kindOf({ ...sound, version: VERSION + 1, plan: 'of another kind' }), 'newer');
  for (const about of [
    '', '{', 'null', '[]', '7', JSON.stringify(sound).slice(0, -9), { ...sound, version: '1' }, { ...sound, version: 0 }, { ...sound, key: 'another' }, { ...sound, number: 0 }, { ...sound, number: 1.5 },
    { ...sound, name: 5 }, { ...sound, model: null }, { ...sound, startedAt: null }, { ...sound, startedAt: 1e300 }, { ...sound, numSteps: -1 }, { ...sound, plan: 5 }, { ...sound, plan: {} }, { ...sound, done: [] }, { ...sound, failed: 'no' },
  ]) assert.equal(kindOf(about), 'damaged', JSON.stringify(about));
});

test('records without their files, and files in their place, are found and can be deleted', async () => {
  const { tree } = setUp();
  await tree.put('what is this', 'history', 'a file');
  await tree.put('{"version":', 'history', 'half', 'run.json');
  await tree.put('["s",1', 'history', 'no description', 'steps-000001.jsonl');
  const store = new RunStore();
  const records = await found(store);
  assert.deepEqual(records.map(({ key, about }) => [key, about]), [['a file', null], ['half', '{"version":'], ['no description', null]]);
  for (const { key } of records) await store.remove(key);
  assert.deepEqual(await found(), []);
  await store.remove('long gone');
  await store.removeAll();
  await store.removeAll();
});

test('a key tells when', () => {
  assert.equal(timeOf(newKey(BEGUN)), BEGUN);
  assert.ok(Number.isNaN(timeOf('a file')));
  assert.ok(newKey(BEGUN) < newKey(BEGUN + 1));
});

test('the oldest go first, and the current run never', () => {
  const many = new Map(Array.from({ length: MOST_RUNS + 2 }, (_, index) => [newKey(BEGUN + index), 10]));
  const [first, second, third] = many.keys();
  assert.deepEqual(tooMany(many), [first, second]);
  assert.deepEqual(tooMany(many, first), [second, third]);
  const large = new Map([['c', MOST_BYTES / 2], ['a', MOST_BYTES / 2], ['b', 1]]);
  assert.deepEqual(tooMany(large), ['a']);
  assert.deepEqual(tooMany(large, 'a'), ['b']);
  assert.deepEqual(tooMany(new Map([['a', 2 * MOST_BYTES]]), 'a'), []);
  assert.deepEqual(tooMany(new Map([['b', 2 * MOST_BYTES], ['a', 1]])), ['a'], 'the newest stays, however long');
  assert.deepEqual(tooMany(new Map()), []);
});

test('older runs make room for one that is going on', async () => {
  const { store, recorder } = setUp();
  for (let index = 0; index < MOST_RUNS; index += 1) await recorder.keep(runOf({ key: newKey(BEGUN + index), steps: steps(1, 1) }));
  const oldest = [...store.sizes.keys()].sort()[0];
  const { gone } = await recorder.keep(runOf({ key: newKey(BEGUN + 1e6), steps: steps(1, 1) }));
  assert.deepEqual(gone, [oldest]);
  const keys = (await found()).map(({ key }) => key);
  assert.equal(keys.length, MOST_RUNS);
  assert.ok(!keys.includes(oldest));
});

test('a record that is as long as all may be grows no more', async () => {
  const { store, recorder } = setUp();
  const run = runOf({ steps: steps(1, 1) });
  assert.equal((await recorder.keep(run)).isFull, false);
  store.sizes.set(run.key, MOST_BYTES);
  run.steps.push(made(2));
  assert.equal((await recorder.keep(run)).isFull, true);
  run.steps.push(made(3));
  await recorder.keep({ ...run, done: { steps: 3, stopped: false } });
  const again = readRun((await found())[0]);
  assert.deepEqual(again.steps, steps(1, 2));
  assert.equal(again.done.steps, 3);
});

test('where storage is full or switched off a write fails, and the next one brings all of it', async () => {
  const { tree, recorder } = setUp();
  const run = runOf({ steps: steps(1, 3) });
  await recorder.keep(run);
  tree.room = tree.written;
  run.steps.push(...steps(4, 6));
  await assert.rejects(recorder.keep(run), { name: 'QuotaExceededError' });
  assert.deepEqual(readRun((await found())[0]).steps, steps(1, 3));
  tree.room = Infinity;
  await recorder.keep(run);
  assert.deepEqual(readRun((await found())[0]).steps, steps(1, 6));
  useTree(null);
  run.steps.push(made(7));
  await assert.rejects(recorder.keep(run), { name: 'SecurityError' });
  assert.deepEqual(await found(), []);
});

test('what somebody else deleted is told and written anew, all of it', async () => {
  const { tree, recorder, store } = setUp();
  const run = runOf({ steps: steps(1, 3) });
  assert.equal((await recorder.keep(run)).wasDeleted, false);
  const root = await navigator.storage.getDirectory();
  for (const more of [{}, { name: 'Mine' }]) {
    await root.removeEntry('history', { recursive: true }); // the data of the site
    Object.assign(run, more);
    run.steps.push(made(run.steps.length + 1));
    assert.equal((await recorder.keep(run)).wasDeleted, true);
    const [record, ...others] = await found();
    assert.deepEqual([readRun(record).steps, others], [run.steps, []]);
    assert.equal(store.sizes.size, 1);
    run.steps.push(made(run.steps.length + 1));
    assert.equal((await recorder.keep(run)).wasDeleted, false);
  }
  assert.ok(tree);
});

test('the page tells the bounds that hold', () => {
  const stored = readFileSync(new URL('../../../static/offline/stored.js', import.meta.url), 'utf8');
  assert.ok(stored.includes(`newest ${MOST_RUNS} runs, ${MOST_BYTES / 1e6} MB at most`));
});
