// The speed of a download and the time left, from its last seconds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRate } from '../../../static/ui/download-rate.js';

/** @param {number} now milliseconds */
function clock(now) {
  performance.now = () => now;
}

test('nothing is claimed before a second has passed', () => {
  clock(10_000);
  assert.equal(describeRate(0, 100e6), '');
  clock(10_500);
  assert.equal(describeRate(5e6, 100e6), '');
});

test('then the speed of the last five seconds counts', () => {
  clock(11_000);
  assert.equal(describeRate(10e6, 100e6), ', 10 MB/s, 9 s left');
  for (let second = 2; second <= 8; second += 1) {
    clock(10_000 + second * 1e3);
    describeRate(10e6 + (second - 1) * 2e6, 100e6);
  }
  assert.equal(describeRate(24e6, 100e6), ', 2.0 MB/s, 38 s left');
});

test('after a break it begins anew', () => {
  clock(90_000);
  assert.equal(describeRate(24.5e6, 100e6), '');
});

test('a size that is not known leaves the time out', () => {
  clock(200_000);
  describeRate(0, 0);
  clock(202_000);
  assert.equal(describeRate(800, 0), ', 400 B/s');
});
