// quantize_int4 — w ≈ scale·q + min with q in 0..15, groups of 32 along K, into lib/weights_int4.wgsl
// source: whole rows (rows, K) · → words, scales
// SYMMETRIC 0: scale = (max − min) / 15 over the weights and 0, to 7 significant bits, and min = −z·scale
// with the nearest z in 0..15: exact in f16, so that 0 stays 0. 1: scale = extreme / −8 and min = −8·scale,
// as in Q4_0: the value of largest magnitude is a code. Both are rounded to f16 before q is chosen.
// Dispatch grid_1d(rows · K/32, 64): one invocation a group of one row.
// Needs a source_* and a half_* prelude. Every result is exact: no division decides a code.
// head_dim as in repack.wgsl.

@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,          // in this chunk
  first_row: u32,     // of the source tensor
  groups: u32,        // K / 32
  stride: u32,        // N of the destination, in rows
  offset: u32,        // row of the destination where the tensor starts
  head_dim: u32,      // 0: rows stay in order
}

override SYMMETRIC: u32 = 0;

const FIFTEENTH = 1.0 / 15.0;

// The nearest step to a height above the lowest level; halfway between two, the upper.
fn code(height: f32, step: f32) -> u32 {
  if (step == 0.0) { return 0u; }
  var q = floor(height / step + 0.5);
  if (height < (q - 0.5) * step) { q -= 1.0; }
  if (height >= (q + 0.5) * step) { q += 1.0; }
  return u32(clamp(q, 0.0, 15.0));
}

// Seven significant bits: times a zero point of four they are the eleven that f16 holds.
fn short(value: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(value) + 0x10000u) & 0xFFFE0000u);
}

// The f16 of min: the step nearest to the lowest weight.
fn minimum_of(low: f32, scale: f32) -> u32 {
  let zero = code(-low, scale);
  // Not −0, which a device may or may not keep.
  return select(half_bits(-f32(zero) * scale), 0u, zero == 0u);
}

@compute @workgroup_size(64)
fn quantize_int4(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
  let row = index / params.groups;
  if (row >= params.rows) { return; }
  let group = index % params.groups;
  var low = source_value(32u * index);
  var high = low;
  var extreme = low;
  for (var i = 1u; i < 32u; i++) {
    let value = source_value(32u * index + i);
    low = min(low, value);
    high = max(high, value);
    extreme = select(extreme, value, abs(value) > abs(extreme));
  }
  low = min(low, 0.0);
  high = max(high, 0.0);
  let scale_bits = half_bits(select(short((high - low) * FIFTEENTH), extreme * -0.125, SYMMETRIC > 0u));
  let scale = half_value(scale_bits);
  let minimum_bits = select(minimum_of(low, scale), half_bits(-8.0 * scale), SYMMETRIC > 0u);
  let minimum = half_value(minimum_bits);

  var source_row = params.first_row + row;
  if (params.head_dim > 0u) {
    let i = source_row % params.head_dim;
    source_row += (i / 2u) + (i % 2u) * (params.head_dim / 2u) - i;
  }
  let column = params.offset + source_row;
  scales[group * params.stride + column] = scale_bits | (minimum_bits << 16u);
  for (var octet = 0u; octet < 4u; octet++) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) {
      let above = source_value(32u * index + 8u * octet + i) - minimum;
      let q = code(select(above, -above, scale < 0.0), abs(scale));
      // Byte i has element i in its low nibble and element 4 + i in its high one.
      word |= q << (8u * (i & 3u) + i / 4u * 4u);
    }
    words[(4u * group + octet) * params.stride + column] = word;
  }
}
