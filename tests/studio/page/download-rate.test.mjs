// The speed of a download and the time left, from its last seconds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureRate } from '../../../static/ui/model/download-rate.js';

/** @param {number} now milliseconds */
function clock(now) {
  performance.now = () => now;
}

test('nothing is claimed before a second has passed', () => {
  clock(10_000);
  assert.equal(measureRate(0, 100e6), null);
  clock(10_500);
  assert.equal(measureRate(5e6, 100e6), null);
});

test('then the speed of the last five seconds counts', () => {
  clock(11_000);
  assert.deepEqual(measureRate(10e6, 100e6), { bytesPerSecond: 10e6, secondsLeft: 9 });
  for (let second = 2; second <= 8; second += 1) {
    clock(10_000 + second * 1e3);
    measureRate(10e6 + (second - 1) * 2e6, 100e6);
  }
  assert.deepEqual(measureRate(24e6, 100e6), { bytesPerSecond: 2e6, secondsLeft: 38 });
});

test('after a break it begins anew', () => {
  clock(90_000);
  assert.equal(measureRate(24.5e6, 100e6), null);
});

test('a size that is not known leaves the time out', () => {
  clock(200_000);
  measureRate(0, 0);
  clock(202_000);
  assert.deepEqual(measureRate(800, 0), { bytesPerSecond: 400, secondsLeft: null });
});
