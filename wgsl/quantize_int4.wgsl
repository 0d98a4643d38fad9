// quantize_int4 — w ≈ scale·q + min with q in 0..15, groups of 32 along K, into lib/weights_int4.wgsl
// source: whole rows (rows, K) · → words, scales
// SYMMETRIC 0: scale = (max − min) / 15 over the weights and 0, to 7 significant bits, and min = −z·scale
// with the nearest z in 0..15: exact in f16, so that 0 stays 0. 1: scale = extreme / −8 and min = −8·scale,
// as in Q4_0: the value of largest magnitude is a code. Both are rounded to f16 before q is chosen.
// Dispatch grid_1d(rows · K/32, 64): one invocation a group of one row.
// Needs a source_* and a half_* and the into_* and step_* preludes. Every result is exact: no division decides a code.

override SYMMETRIC: u32 = 0;

const FIFTEENTH = 1.0 / 15.0;

// Seven significant bits: times a zero point of four they are the eleven that f16 holds.
fn short(value: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(value) + 0x10000u) & 0xFFFE0000u);
}

// The f16 of min: the step nearest to the lowest weight.
fn minimum_of(low: f32, scale: f32) -> u32 {
  let zero = nearest_step(-low, scale, 15.0);
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

  let column = column_of(row);
  scales[group * params.stride + column] = scale_bits | (minimum_bits << 16u);
  for (var octet = 0u; octet < 4u; octet++) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) {
      let above = source_value(32u * index + 8u * octet + i) - minimum;
      let q = nearest_step(select(above, -above, scale < 0.0), abs(scale), 15.0);
      // Byte i has element i in its low nibble and element 4 + i in its high one.
      word |= q << (8u * (i & 3u) + i / 4u * 4u);
    }
    words[(4u * group + octet) * params.stride + column] = word;
  }
}
