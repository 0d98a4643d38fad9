// The curve of a search for a learning rate: what is drawn, and how it is told.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curves, decades, describeCurve, heights, rateText } from '../../../static/ui/plan/find-rate-chart.js';

/** @param {number[]} changes */
const pointsOf = (changes) => changes.map((change, index) => ({
  step: index + 1, learning_rate: 10 ** (index - 5), loss: 4 + change, loss_before: 4, num_tokens: 64, seconds: 1, change, num_steps: 40,
}));
/** @param {number[]} changes @param {object|null} result */
const searchOf = (changes, result = null) => /** @type {any} */ ({ points: pointsOf(changes), result });

test('rates are written as they are typed', () => {
  assert.deepEqual([1.23e-3, 2e-5, 1, 12].map(rateText), ['1.2e-3', '2e-5', '1', '12']);
  assert.equal(Number(rateText(4.9e-3)), 4.9e-3);
});

test('the smoothed curve comes with the result', () => {
  assert.deepEqual(curves(searchOf([0, -1]))[2], [null, null]);
  assert.deepEqual(curves(searchOf([0, -1], { smoothed: [0.1, -0.9] })), [pointsOf([0, -1]).map((point) => point.learning_rate), [0, -1], [0.1, -0.9]]);
});

test('the fall fills the chart, however far the loss rises after it', () => {
  const [low, high] = heights(pointsOf([0, -1, 50]));
  assert.ok(low < -1 && low > -1.2);
  assert.equal(high, 1.2);
  assert.ok(heights(pointsOf([0]))[0] < 0 && heights(pointsOf([0]))[1] > 0);
});

test('ticks stand at powers of ten', () => {
  assert.deepEqual(decades(1e-5, 1).map(rateText), ['1e-5', '1e-4', '1e-3', '0.01', '0.1', '1']);
  assert.deepEqual(decades(2e-5, 5e-3).map(rateText), ['1e-4', '1e-3']);
});

test('the curve is put in words', () => {
  assert.match(describeCurve(null), /nothing measured yet/);
  assert.match(describeCurve(searchOf([0, -1])), /rates from 1e-5 to 1e-4$/);
  assert.match(describeCurve(searchOf([0, -1], { suggestion: 1e-4, fall: 1, smoothed: [] })), /falls by 1\.000 and falls steepest at 1e-4$/);
});
