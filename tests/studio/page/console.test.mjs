// What the training console makes of a run: curves, rows, files, time left; no document needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rowsOf } from '../../../static/ui/console/columns.js';
import { csvOf, fileName } from '../../../static/ui/console/csv.js';
import { pick, within } from '../../../static/ui/console/decimate.js';
import { Pace } from '../../../static/ui/console/pace.js';
import { aligned } from '../../../static/ui/console/plot.js';
import { state } from '../../../static/store.js';
import { differences, endOf } from '../../../static/ui/console/runs.js';
import { settingsInWords } from '../../../static/ui/plan/setting-words.js';
import { describe as describeOffer } from '../../../static/ui/run/resume.js';
import { formatTicks, LOSS, SMALL } from '../../../static/ui/console/specs.js';
import { resultOf } from '../../../static/ui/console/result.js';
import { Track, trackOf } from '../../../static/ui/console/track.js';
import { endInWords } from '../../../static/ui/run/finish.js';

/** @param {number} step @param {number} loss */
const made = (step, loss, more = {}) => ({
  step, loss, grad_norm: 0.5, learning_rate: 0.001, num_tokens: 100 * step, tokens_per_second: 50, skipped: false, seconds: 2, ranks: null, gpu_busy: null, ...more,
});
const runOf = (steps, more = {}) => ({
  steps, numSteps: steps.length, plan: { num_tokens: 200, settings: { rank: 4 } }, evaluations: [], samples: [], number: 3, startedAt: new Date(2026, 10, 21, 12).getTime(), model: 'Tiny/Model: 1', ...more,
});

test('the smoothed line starts at the first loss and stays inside what was measured', () => {
  const { x, columns: { loss, smooth } } = new Track().follow([made(1, 4), made(2, 2), made(3, 3)]);
  assert.deepEqual(x, [1, 2, 3]);
  assert.deepEqual(loss, [4, 2, 3]);
  assert.ok(Math.abs(smooth[0] - 4) < 1e-12);
  assert.ok(smooth[1] > 2 && smooth[1] < 4);
});

test('a constant loss is smoothed to itself', () => {
  const { columns } = new Track().follow(Array.from({ length: 50 }, (_, index) => made(index + 1, 2.5)));
  for (const value of columns.smooth) assert.ok(Math.abs(value - 2.5) < 1e-9);
});

test('a skipped step is a gap, not a point', () => {
  const track = new Track().follow([made(1, 4), made(2, NaN, { skipped: true }), made(3, 4)]);
  const [x, raw, smooth] = aligned(LOSS, { track, evaluations: [], others: [], range: [1, 3] });
  assert.deepEqual([x, raw], [[1, 2, 3], [4, null, 4]]);
  assert.equal(smooth[1], null);
  assert.ok(Math.abs(smooth[2] - 4) < 1e-12);
  assert.equal(track.numSkipped, 1);
});

/** A number between -0.5 and 0.5, the same in every run of the tests. @param {number} index */
const noise = (index) => ((index * 7919) % 101) / 101 - 0.5;

test('the smoothed line keeps up with the steps, in short runs and at the beginning of long ones', () => {
  for (const count of [12, 25, 35, 300]) {
    const loss = Array.from({ length: count }, (_, index) => 4 + 2 * Math.exp(-index / 60) - index / 400 + 0.12 * noise(index));
    const { smooth } = new Track().follow(loss.map((value, index) => made(index + 1, value))).columns;
    for (let index = 10; index < count; index += 1) {
      const lately = loss.slice(Math.max(0, index - Math.floor(index / 4)), index + 1);
      assert.ok(smooth[index] <= Math.max(...lately) && smooth[index] >= Math.min(...lately), `step ${index + 1} of ${count}`);
    }
  }
});

test('the smoothed line calms what scatters', () => {
  const loss = Array.from({ length: 400 }, (_, index) => 3 + noise(index));
  const { smooth } = new Track().follow(loss.map((value, index) => made(index + 1, value))).columns;
  for (const value of smooth.slice(200)) assert.ok(Math.abs(value - 3) < 0.15);
});

test('a result compares like with like', () => {
  const losses = [6, 5.8, 5.9, 5, 5.2, 4.8, 4.5, 4.6, 4.2, 4.1, 4.2];
  const steps = losses.map((loss, index) => made(index + 1, loss));
  const means = resultOf(runOf([...steps, made(12, NaN, { skipped: true })]));
  assert.deepEqual([means.kind, means.count, means.course], ['means', 3, 'fell']);
  assert.ok(Math.abs(means.before - 5.9) < 1e-9 && Math.abs(means.after - 12.5 / 3) < 1e-9);
  assert.equal(resultOf(runOf(Array.from({ length: 60 }, (_, index) => made(index + 1, 5 - index / 20)))).count, 12);
  const evaluations = [{ step: 0, loss: 5 }, { step: 3, loss: 2 }];
  assert.equal(resultOf(runOf(steps, { evaluations })).kind, 'means'); // read early in the run
  evaluations.push({ step: 6, loss: 3 });
  assert.deepEqual(resultOf(runOf(steps, { evaluations })), { kind: 'held-out', before: 5, after: 3, count: 0, at: 6, course: 'fell' });
  const done = { stopped_early: true };
  assert.deepEqual([resultOf(runOf(steps, { evaluations, done })).after, resultOf(runOf(steps, { evaluations, done })).at], [2, 3]);
  evaluations.push({ step: 11, loss: 5.1 });
  assert.equal(resultOf(runOf(steps, { evaluations })).course, 'rose');
});

test('a run whose loss did not fall says so, and one of few steps that it cannot be told', () => {
  /** @param {number[]} losses */
  const endOf = (losses) => endInWords(runOf(losses.map((loss, index) => made(index + 1, loss))), {
    steps: losses.length, stopped: false, stopped_early: false, num_tokens: 9, num_skipped: 0, seconds: 12.3, first_loss: losses[0], final_loss: losses[losses.length - 1],
  });
  assert.deepEqual(endOf([6, 5.8, 5.9, 5, 5.2, 4.8, 4.5, 4.6, 4.2, 4.1, 4.2]), {
    title: 'Finished.', text: 'Loss 5.900 → 4.167 (means of the first and of the last 3 steps), 11 steps, 12 s.', fell: true,
  });
  // As the sample text came out in five steps.
  const rose = endOf([4.052, 4.3, 4.2, 4.5, 4.35]);
  assert.equal(rose.fell, false);
  assert.match(rose.text, /^The loss did not fall\. .*Loss 4\.176 → 4\.425 \(means of the first and of the last 2 steps\), 5 steps/);
  for (const losses of [[4.2], [4.2, 4.1], [4.2, 3.6, 4.4, 3.5, 4.3, 3.7]]) {
    const unclear = endOf(losses);
    assert.equal(unclear.fell, false);
    assert.match(unclear.text, /^Whether the loss fell cannot be told/);
  }
  assert.match(endOf([4.2, 4.1]).text, /Loss of the first step 4\.200, of the last 4\.100; 2 steps/);
});

test('columns grow with the run and are made once', () => {
  const run = runOf([made(1, 4, { ranks: { a: 2, b: 3 } }), made(2, 3)]);
  const track = trackOf(run);
  run.steps.push(made(3, 2, { ranks: { a: 1, b: 1 }, gpu_busy: 0.75 }));
  assert.equal(trackOf({ ...run }), track);
  assert.deepEqual(track.columns.ranks, [5, 5, 2]);
  assert.deepEqual(track.rankChanges.map(({ step }) => step), [1, 3]);
  assert.equal(track.lastBusy, 0.75);
  assert.deepEqual([-3, 1.4, 1.6, 99].map((place) => track.nearest(place)), [0, 0, 1, 2]);
});

test('of 60,000 steps few are drawn, and no spike is lost', () => {
  const values = Array.from({ length: 60_000 }, (_, index) => 2 + Math.sin(index / 900));
  values[31_234] = 90;
  values[31_240] = -40;
  const picked = pick(values, 0, values.length, 800);
  assert.ok(picked.length <= 1600);
  assert.deepEqual(picked, [...picked].sort((a, b) => a - b));
  assert.equal(new Set(picked).size, picked.length);
  for (const index of [31_234, 31_240]) assert.ok(picked.includes(index));
  assert.ok(picked[0] < 75 && picked[picked.length - 1] >= 59_925);
});

test('few values are all drawn, and a stretch of gaps stays one', () => {
  assert.deepEqual(pick([3, 1, NaN, 2], 1, 4, 2), [1, 2, 3]);
  const values = Array.from({ length: 100 }, (_, index) => (index < 50 ? NaN : index));
  assert.deepEqual(pick(values, 0, 100, 4), [0, 25, 50, 74, 75, 99]);
});

test('what is zoomed into reaches the edges', () => {
  const x = [1, 2, 3, 4, 5, 6];
  assert.deepEqual(within(x, [2.5, 4.5]), [1, 5]);
  assert.deepEqual(within(x, [0, 9]), [0, 6]);
  assert.deepEqual(within([], [0, 9]), [0, 0]);
});

test('held-out loss has its place, before the first step too, and with no step drawn there', () => {
  const steps = Array.from({ length: 20_000 }, (_, index) => made(index + 1, 3 - index / 1e4));
  const track = new Track().follow(steps);
  const evaluations = [{ step: 0, loss: 5, perplexity: 1 }, { step: 7777, loss: 2.5, perplexity: 1 }];
  const [x, raw, , judged] = aligned(LOSS, { track, evaluations, others: [], range: [0, 20_000] });
  assert.deepEqual([x[0], raw[0], judged[0]], [0, null, 5]);
  assert.equal(judged[x.indexOf(7777)], 2.5);
  assert.equal(raw[x.indexOf(7777)], steps[7776].loss);
  assert.ok(x.length < 1700);
});

test('small charts draw their own column', () => {
  const track = new Track().follow([made(1, 4), made(2, 3, { grad_norm: NaN })]);
  const [, norm] = SMALL;
  assert.deepEqual(aligned(norm, { track, evaluations: [], others: [], range: [1, 2] }), [[1, 2], [0.5, null]]);
});

test('rows hold steps, evaluations and samples, each once', () => {
  const run = runOf([made(1, 4), made(2, 3)], {
    evaluations: [{ step: 0, loss: 5, perplexity: 148 }, { step: 2, loss: 3.5, perplexity: 33 }], samples: [{ step: 2, prompt: 'a', text: 'b' }],
  });
  const rows = rowsOf(run);
  assert.deepEqual(rows.map(({ step }) => step), [0, 1, 2]);
  assert.equal(rows[0].record, null);
  assert.deepEqual([rows[1].epochs, rows[2].epochs], [0.5, 1]);
  assert.equal(rows[2].evaluation?.loss, 3.5);
});

test('a file holds every step unrounded, with units, and text that stays text', () => {
  const run = runOf([made(1, 0.1 + 0.2), made(2, NaN, { skipped: true })], { samples: [{ step: 2, prompt: '=1+1', text: 'she said "no",\nand left' }] });
  const file = csvOf(run);
  const lines = file.split('\r\n');
  assert.equal(lines[0], 'step,loss (nats/token),smoothed loss (nats/token),skipped (1 = the loss was not finite; nothing was updated),gradient norm (L2),learning rate,tokens seen,epochs done,throughput (tokens/s),step time (s),sample prompt,sample text');
  assert.equal(lines[1], '1,0.30000000000000004,0.30000000000000004,0,0.5,0.001,100,0.5,50,2,,');
  assert.equal(lines[2], `2,NaN,,1,0.5,0.001,200,1,50,2,'=1+1,"she said ""no"",\nand left"`);
  assert.ok(file.endsWith('\r\n'));
});

test('files are named by model, day and run', () => {
  assert.equal(fileName(runOf([]), 'csv'), 'Tiny-Model-1-2026-11-21-run-3.csv');
  assert.equal(fileName(runOf([], { model: '../..' }), 'png'), 'model-2026-11-21-run-3.png');
});

test('time left goes by this session and knows of what lies between steps', () => {
  const pace = new Pace();
  assert.equal(pace.left(10, null), null);
  pace.step(9, 0); // warms up
  assert.equal(pace.left(10, 1), 10); // the plan still knows better
  for (let index = 1; index <= 10; index += 1) pace.step(2, 2000 * index);
  assert.equal(pace.left(10, 1), 20);
  pace.interrupt(); // an hour's pause
  pace.step(2, 3.6e6);
  assert.equal(pace.left(10, 1), 20);
  for (let index = 1; index <= 11; index += 1) pace.step(2, 3.6e6 + 3000 * index); // an evaluation each
  assert.ok(pace.left(10, 1) > 24 && pace.left(10, 1) < 27);
});

test('runs are told apart by the settings in which they differ', () => {
  const runs = [4, 8].map((rank) => ({ plan: { settings: { rank, seed: 1, modules: ['q'] } } }));
  assert.deepEqual(differences(runs), [{ rank: 4 }, { rank: 8 }]);
});

test('what had no say in a run is no difference', () => {
  const runs = [{ steps: 20, epochs: 9, full_weights: 'f16', memory: undefined }, { steps: 30, epochs: 3, full_weights: 'int4', memory: null }].map((settings) => ({ plan: { settings } }));
  assert.deepEqual(differences(runs), [{ steps: 20 }, { steps: 30 }]);
});

test('settings are told in the words of the form', () => {
  state.fields = [['target_modules', 'Projections'], ['use_rslora', 'Rank-stabilised scale'], ['steps', 'Steps'], ['epochs', 'Passes over the text'], ['device_memory_gb', 'Device memory, in GB'], ['sample_prompt', 'Samples go on from'], ['mode', 'What is trained']]
    .map(([name, label]) => ({ name, label }));
  const settings = { mode: 'adapter', epochs: 9, steps: 20, use_rslora: false, device_memory_gb: undefined, sample_prompt: '', target_modules: ['q_proj', 'v_proj'], early: 0 };
  assert.deepEqual(settingsInWords(settings), [
    ['Projections', 'Query and value only'], ['Rank-stabilised scale', 'no'], ['Steps', '20'], ['What is trained', 'an adapter (adapter)'], ['early', '0'],
  ]);
  assert.deepEqual(settingsInWords({ target_modules: ['q_proj', 'up_proj'], steps: null, epochs: 2 }), [['Projections', 'q_proj, up_proj'], ['Passes over the text', '2']]);
  state.fields = [];
});

test('how a run ended and the offer to go on with it tell the same', () => {
  const offer = { step: 40, num_steps: 300, saved_at: '', base_name: 'Tiny', is_this_model: true, num_characters: 9, mode: 'adapter', bytes: 0 };
  const run = runOf(Array.from({ length: 35 }, (_, index) => made(index + 1, 3)), { model: 'Tiny', numSteps: 300, done: null, failed: false, name: '' });
  Object.assign(state, { run: null, pastRuns: [run] });
  assert.equal(endOf(run), 'interrupted at step 35');
  state.resumable = offer; // its record was being written
  assert.equal(endOf(run), 'interrupted at step 40');
  assert.match(describeOffer(offer), /was interrupted after step 40 of 300/);
  run.done = { steps: 40, stopped: true };
  assert.match(describeOffer(offer), /was stopped after step 40 of 300/);
  assert.equal(endOf({ ...run, done: null, model: 'Other' }), 'interrupted at step 35');
  Object.assign(state, { resumable: null, pastRuns: [] });
});

test('ticks are short', () => {
  assert.deepEqual(formatTicks([0, 0.25, 1200, 12_500, 3e6]), ['0', '0.25', '1200', '12.5k', '3M']);
  assert.deepEqual(formatTicks([0, 0.0005, 0.001, 0.002]), ['0', '5e-4', '1e-3', '2e-3']);
  assert.deepEqual(formatTicks([0, 0.005, 0.01]), ['0', '0.005', '0.01']);
});
