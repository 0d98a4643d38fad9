// apply_int4 — an INT4 matrix takes its update: dequantize, subtract, quantize anew;  delta ← 0
// words (K/8, N), scales (K/32, N): see lib/weights_int4.wgsl · delta (K, N), f32
// Each group of 32 gets the smallest scale and largest minimum, in f16, that hold its new values; a
// value between two codes becomes the upper one as often as it is near it, so that on average nothing
// is lost. A group that nothing is taken off stays as it is. Where update says skip only the gradient
// is cleared. Dispatch grid_1d(K/32 · N, 64): an invocation a group of one row.
// Needs a half_* and the round_* prelude. Source: arXiv:2407.08296 §3.3; app.reference.stochastic.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  groups: u32,   // K/32 · N
  stride: u32,   // N
  key: u32,
}

struct Affine { scale: f32, minimum: f32, bits: u32 }

// The largest f16 that is not above a value.
fn half_below(value: f32) -> u32 {
  let bits = half_bits(value);
  if (half_value(bits) <= value) { return bits; }
  if (bits == 0u) { return 0x8001u; }
  return select(bits - 1u, bits + 1u, (bits & 0x8000u) != 0u);
}

// f16 of minimum and scale: minimum + 15·scale reaches the largest value, no smaller scale does.
fn fit(low: f32, high: f32) -> Affine {
  let below = half_below(low);
  let minimum = half_value(below);
  var bits = half_bits(max(high - minimum, 0.0) * (1.0 / 15.0));
  for (var i = 0u; i < 4u; i++) {
    if (bits > 0u && minimum + 15.0 * half_value(bits - 1u) >= high) { bits -= 1u; }
  }
  for (var i = 0u; i < 4u; i++) {
    if (bits < 0x7BFFu && minimum + 15.0 * half_value(bits) < high) { bits += 1u; }
  }
  return Affine(half_value(bits), minimum, bits | (below << 16u));
}

// The code below a value or the one above it. An inexact division is put right by comparing.
fn code_of(value: f32, grid: Affine, random: u32) -> u32 {
  if (grid.scale == 0.0) { return 0u; }
  var code = u32(clamp((value - grid.minimum) / grid.scale, 0.0, 15.0));
  if (code < 15u && grid.minimum + f32(code + 1u) * grid.scale <= value) { code += 1u; }
  if (code > 0u && grid.minimum + f32(code) * grid.scale > value) { code -= 1u; }
  let rest = value - (grid.minimum + f32(code) * grid.scale);
  return code + select(0u, 1u, code < 15u && uniform_of(random) * grid.scale < rest);
}

// Byte i of a word holds element i in its low nibble and element 4 + i in its high one.
fn shift_of(i: u32) -> u32 { return 8u * (i % 4u) + 4u * (i / 4u); }

@compute @workgroup_size(64)
fn apply_int4(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.groups) { return; }
  let first_word = 4u * (index / params.stride) * params.stride + index % params.stride;
  let first = 32u * (index / params.stride) * params.stride + index % params.stride;
  if (update[0] != 0.0) {
    let keep = 1.0 - update[2] * update[3];
    let scale = half_value(scales[index] & 0xFFFFu);
    let minimum = half_value(scales[index] >> 16u);
    var values: array<f32, 32>;
    for (var i = 0u; i < 32u; i++) {
      let code = (words[first_word + (i / 8u) * params.stride] >> shift_of(i % 8u)) & 15u;
      values[i] = (scale * f32(code) + minimum) * keep - delta[first + i * params.stride];
    }
    var low = values[0];
    var high = values[0];
    for (var i = 1u; i < 32u; i++) {
      low = min(low, values[i]);
      high = max(high, values[i]);
    }
    let grid = fit(low, high);
    scales[index] = grid.bits;
    for (var octet = 0u; octet < 4u; octet++) {
      var word = 0u;
      for (var i = 0u; i < 8u; i++) {
        let element = first + (8u * octet + i) * params.stride;
        let random = random_bits(params.key, update[6], element);
        word |= code_of(values[8u * octet + i], grid, random) << shift_of(i);
      }
      words[first_word + octet * params.stride] = word;
    }
  }
  for (var i = 0u; i < 32u; i++) { delta[first + i * params.stride] = 0.0; }
}
