// How figures are written; nothing here needs a document.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../../../static/ui/format.js';

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
