// apply_f16 — w ← round(w·(1 − lr·decay) − delta), stochastically;  delta ← 0
// halves (K/2, N): two weights of a row a word (lib/weights_f16.wgsl) · delta (K, N), f32
// A value between two neighbours of f16 becomes the upper one as often as it is near it: on average
// nothing is lost, however small an update is beside the weight. Where update says skip only the
// gradient is cleared. Beyond ±65504 a weight is cut there.
// Dispatch grid_1d(K/2 · N, 64). Needs a half_* and the round_* prelude.
// Source: arXiv:1502.02551 §3; app.reference.stochastic.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read_write> halves: array<u32>;
@group(0) @binding(2) var<storage, read_write> delta: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  words: u32,    // K/2 · N
  stride: u32,   // N
  key: u32,
}

fn half_stochastic(value: f32, random: u32) -> u32 {
  let sign = (bitcast<u32>(value) >> 16u) & 0x8000u;
  let magnitude = min(abs(value), 65504.0);
  if (magnitude >= 0x1p-14f) {
    // 13 bits are dropped: as many random ones are added first.
    let bits = bitcast<u32>(magnitude) + (random >> 19u);
    return sign | min((bits - 0x38000000u) >> 13u, 0x7BFFu);
  }
  let quanta = magnitude * 0x1p24f;
  let whole = floor(quanta);
  return sign | (u32(whole) + select(0u, 1u, uniform_of(random) < quanta - whole));
}

@compute @workgroup_size(64)
fn apply_f16(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.words) { return; }
  let low = 2u * (index / params.stride) * params.stride + index % params.stride;
  let high = low + params.stride;
  if (update[0] != 0.0) {
    let keep = 1.0 - update[2] * update[3];
    let word = halves[index];
    let first = half_value(word & 0xFFFFu) * keep - delta[low];
    let second = half_value(word >> 16u) * keep - delta[high];
    halves[index] = half_stochastic(first, random_bits(params.key, update[6], low))
      | (half_stochastic(second, random_bits(params.key, update[6], high)) << 16u);
  }
  delta[low] = 0.0;
  delta[high] = 0.0;
}
