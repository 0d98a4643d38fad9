// What is said of a run beside its curve; nothing here needs a document.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byLayer, describe } from '../../../static/ui/run/facts.js';

test('optimizer, its state and the room of the windows are one line', () => {
  const plan = { settings: { optimizer: 'adam8bit', packing: 'best-fit' }, optimizer_state_bytes: 1_250_000, occupancy: 0.972 };
  assert.equal(describe(plan), 'adam8bit, state 1.3 MB · 97 % of the windows’ room holds text (best-fit)');
});

test('ranks are sorted by layer and module, gaps where a projection has none', () => {
  const ranks = { 'model.layers.10.mlp.down_proj': 3, 'model.layers.2.self_attn.q_proj': 1, 'model.layers.10.self_attn.v_proj': 2 };
  assert.deepEqual(byLayer(ranks), [
    { layer: 2, counts: [1, null, null, null, null, null, null] },
    { layer: 10, counts: [null, null, 2, null, null, null, 3] },
  ]);
});
