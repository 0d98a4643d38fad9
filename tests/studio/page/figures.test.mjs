// How figures are written, smoothed and files sorted; nothing here needs a document.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../../../static/ui/format.js';
import { series } from '../../../static/ui/chart.js';

test('figures are short and keep their meaning', () => {
  assert.equal(format.formatLoss(3.45678), '3.457');
  assert.equal(format.formatLoss(0.01234), '0.0123');
  assert.equal(format.formatLoss(NaN), 'not finite');
  assert.equal(format.formatCount(1234567), '1,234,567');
  assert.equal(format.formatBytes(98_362_432), '98 MB');
  assert.equal(format.formatBytes(512), '512 B');
  assert.equal(format.formatBytes(2_500_000_000), '2.50 GB');
  assert.equal(format.formatRate(2.345), '2.35');
  assert.equal(format.formatRate(1234.5), '1,235');
  assert.equal(format.formatParameters(134_515_008), '135 M');
  assert.equal(format.formatPerplexity(Infinity), '> 1,000,000');
});

test('times grow from seconds to days', () => {
  assert.equal(format.formatDuration(3.21), '3.2 s');
  assert.equal(format.formatDuration(59.6), '1 min 00 s');
  assert.equal(format.formatDuration(125), '2 min 05 s');
  assert.equal(format.formatDuration(7260), '2 h 01 min');
  assert.equal(format.formatEta(0.4), '< 1 s');
  assert.equal(format.formatEta(4.2), '5 s');
  assert.equal(format.formatEta(600), '10 min 00 s');
});

const step = (number, loss, skipped = false) => ({ step: number, loss, skipped });

test('the smoothed line starts at the first loss and stays inside what was measured', () => {
  const [x, raw, smooth] = series([step(1, 4), step(2, 2), step(3, 3)], 100);
  assert.deepEqual(x, [1, 2, 3]);
  assert.deepEqual(raw, [4, 2, 3]);
  assert.ok(Math.abs(smooth[0] - 4) < 1e-12);
  assert.ok(smooth[1] > 2 && smooth[1] < 4);
});

test('a constant loss is smoothed to itself', () => {
  const [, , smooth] = series(Array.from({ length: 50 }, (_, index) => step(index + 1, 2.5)), 50);
  for (const value of smooth) assert.ok(Math.abs(value - 2.5) < 1e-9);
});

test('a skipped step is a gap, not a point', () => {
  const [, raw, smooth] = series([step(1, 4), step(2, NaN, true), step(3, 4)], 10);
  assert.deepEqual(raw, [4, null, 4]);
  assert.equal(smooth[1], null);
  assert.ok(Math.abs(smooth[2] - 4) < 1e-12);
});
