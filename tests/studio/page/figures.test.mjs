// How figures are written; nothing here needs a document.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../../../static/ui/format.js';
import { useCatalogue } from '../../../static/messages/messages.js';
import { formatTicks } from '../../../static/ui/console/specs.js';
import { fieldNumber, readNumber } from '../../../static/ui/number.js';
import { rateText } from '../../../static/ui/plan/find-rate-chart.js';

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
  assert.equal(format.formatDuration(59.6), '1 min');
  assert.equal(format.formatDuration(125), '2 min 5 s');
  assert.equal(format.formatDuration(7260), '2 h 1 min');
  assert.equal(format.formatEta(0.4), '< 1 s');
  assert.equal(format.formatEta(4.2), '5 s');
  assert.equal(format.formatEta(600), '10 min');
  assert.equal(format.formatRough(4080), '1 h 10 min');
  assert.equal(format.formatRough(98), '1 min 40 s');
  assert.equal(format.formatRough(46920), '13 h');
  assert.equal(format.formatRough(3580), '1 h');
});

test('a range is told by its ends, and holds what lies between', () => {
  assert.equal(format.formatRoughRange(20, 45), '20 s – 45 s');
  assert.equal(format.formatRoughRange(2700, 6960), '45 min – 1 h 55 min');
  assert.equal(format.formatRoughRange(3600, 9240), '1 h – 2 h 35 min');
  assert.equal(format.formatRoughRange(40, 97), '40 s – 1 min 40 s');
});

test('typed numbers are read as the language writes them, the point always', () => {
  for (const [typed, value] of [['0.01', 0.01], ['1e-3', 0.001], [' 42 ', 42], ['.5', 0.5], ['-1', -1], ['1.000', 1], ['1,000', null], ['0,01', null], ['1 000', null], ['ten', null]]) {
    assert.equal(readNumber(typed), value, typed);
  }
  assert.equal(fieldNumber(0.0005), '0.0005');
  useCatalogue('de', {});
  for (const [typed, value] of [['0,01', 0.01], ['0.01', 0.01], ['0.001', 0.001], ['5e-4', 0.0005], ['1,5e-3', 0.0015], ['1.000', null], ['1.000,5', null], ['1,000', 1], ['12.5', 12.5]]) {
    assert.equal(readNumber(typed), value, typed);
  }
  assert.equal(fieldNumber(0.0005), '0,0005');
  useCatalogue('en', {});
});

test('small numbers are written in one way, with the decimal sign of the language', () => {
  const numbers = [0, 0.00099, 0.001, 9.875e-4, 0.01, 0.012345, 1.2, 123.4, 2e7];
  assert.deepEqual(numbers.map((value) => format.formatSmall(value)), ['0', '9.9e-4', '1e-3', '9.88e-4', '0.01', '0.0123', '1.2', '123', '2e7']);
  useCatalogue('de', {});
  assert.deepEqual(numbers.map((value) => format.formatSmall(value)), ['0', '9,9e-4', '1e-3', '9,88e-4', '0,01', '0,0123', '1,2', '123', '2e7']);
  assert.equal(rateText(3.71e-3), '3,7e-3');
  assert.deepEqual(formatTicks([0, 0.00025, 0.0005]), ['0', '2,5e-4', '5e-4']);
  assert.equal(readNumber(rateText(3.71e-3)), 3.7e-3);
  useCatalogue('en', {});
});
