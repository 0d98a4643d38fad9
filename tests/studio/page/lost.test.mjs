// After a lost GPU: when the page helps itself, and what it says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeReturn, Losses } from '../../../static/ui/device/loss-words.js';

test('the page helps itself once in two minutes', () => {
  let now = 5;
  const losses = new Losses(() => now);
  assert.equal(losses.note(), true);
  now += 60_000;
  assert.equal(losses.note(), false);
  now += 119_000; // counted from the last one
  assert.equal(losses.note(), false);
  now += 121_000;
  assert.equal(losses.note(), true);
});

const loss = { message: '', job: /** @type {const} */ ('training'), gone: [] };
const run = { step: 8, num_steps: 20, saved_at: '', base_name: 'Tiny', is_this_model: true, num_characters: 9 };

test('what is said tells where a run can go on, and what is gone', () => {
  assert.equal(describeReturn(loss, 'Tiny', run, true),
    'The GPU went away and is back; Tiny is loaded. It ended the run. It can go on from step 8 of 20. Your text, settings and chat are as they were.');
  assert.match(describeReturn(loss, 'Tiny', null, true), /is on the shelf\./);
  assert.match(describeReturn(loss, 'Tiny', { ...run, is_this_model: false }, false), /begin it anew\./);
  assert.match(describeReturn({ ...loss, job: '', gone: ['A model is gone.'] }, '', null, false), /is back\. Your text.* were\. A model is gone\.$/);
});
