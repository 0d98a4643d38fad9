// apply_int4 — an INT4 matrix takes its update: dequantize, subtract, quantize anew;  delta ← 0
// words (K/8, N), scales (K/32, N): see lib/weights_int4.wgsl · delta (K, N), f32
// A group of 32 keeps its scale and minimum for as long as codes 0..15 hold its new values; a value
// between two codes becomes the upper one as often as it is near it, so that on average nothing is
// lost. Where a code would lie outside, the group gets the smallest scale and largest minimum, in f16,
// that hold what it was rounded to, and is rounded once more. Where update says skip only the gradient
// is cleared. Dispatch grid_1d(K/32 · N, 64): an invocation a group of one row.
// Needs a half_* and the round_* prelude. Source: arXiv:2407.08296 §3.3, on a grid that is held;
// app.reference.stochastic.

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

const FARTHEST = 4095;       // code · scale is exact in f32 up to it
const AGAIN = 0x5BF03635u;   // tells the random bits of a second rounding from those of the first

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
fn code_of(value: f32, grid: Affine, random: u32, lowest: i32, highest: i32) -> i32 {
  if (grid.scale == 0.0) { return 0; }
  let ratio = floor((value - grid.minimum) / grid.scale);
  var code = i32(clamp(ratio, f32(lowest), f32(highest)));
  if (code < highest && grid.minimum + f32(code + 1) * grid.scale <= value) { code += 1; }
  if (code > lowest && grid.minimum + f32(code) * grid.scale > value) { code -= 1; }
  let rest = value - (grid.minimum + f32(code) * grid.scale);
  return code + select(0, 1, code < highest && uniform_of(random) * grid.scale < rest);
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
    var grid = Affine(half_value(scales[index] & 0xFFFFu), half_value(scales[index] >> 16u), scales[index]);
    var values: array<f32, 32>;
    var codes: array<i32, 32>;
    var is_outside = grid.scale == 0.0;
    for (var i = 0u; i < 32u; i++) {
      let element = first + i * params.stride;
      let code = (words[first_word + (i / 8u) * params.stride] >> shift_of(i % 8u)) & 15u;
      values[i] = (grid.scale * f32(code) + grid.minimum) * keep - delta[element];
      codes[i] = code_of(values[i], grid, random_bits(params.key, update[6], element), -FARTHEST, FARTHEST);
      is_outside = is_outside || codes[i] < 0 || codes[i] > 15;
    }
    if (is_outside) {
      // What each value was rounded to is right on average: the new grid starts from that.
      if (grid.scale > 0.0) {
        for (var i = 0u; i < 32u; i++) { values[i] = grid.minimum + f32(codes[i]) * grid.scale; }
      }
      var low = values[0];
      var high = values[0];
      for (var i = 1u; i < 32u; i++) {
        low = min(low, values[i]);
        high = max(high, values[i]);
      }
      grid = fit(low, high);
      scales[index] = grid.bits;
      for (var i = 0u; i < 32u; i++) {
        let random = random_bits(params.key, update[6], first + i * params.stride);
        codes[i] = code_of(values[i], grid, mix_bits(random ^ AGAIN), 0, 15);
      }
    }
    for (var octet = 0u; octet < 4u; octet++) {
      var word = 0u;
      for (var i = 0u; i < 8u; i++) { word |= u32(codes[8u * octet + i]) << shift_of(i); }
      words[first_word + octet * params.stride] = word;
    }
  }
  for (var i = 0u; i < 32u; i++) { delta[first + i * params.stride] = 0.0; }
}
