// quantize_int8 — w ≈ scale·q with q in −127..127, groups of 32 along K, into lib/weights_int8.wgsl
// source: whole rows (rows, K) · → words, scales. scale = max|w| / 127, rounded to f16 first.
// Dispatch grid_1d(rows · K/32, 64): one invocation a group of one row.
// Needs a source_* and a half_* prelude. Every result is exact: no division decides a code.

@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,          // in this chunk
  first_row: u32,     // of the source tensor
  groups: u32,        // K / 32
  stride: u32,        // N of the destination, in rows
  offset: u32,        // row of the destination where the tensor starts
  head_dim: u32,      // 0: rows stay in order; else as in repack.wgsl
}

const SHARE = 1.0 / 127.0;

// The nearest step to a magnitude; halfway between two, the upper.
fn code(size: f32, step: f32) -> u32 {
  if (step == 0.0) { return 0u; }
  var q = floor(size / step + 0.5);
  if (size < (q - 0.5) * step) { q -= 1.0; }
  if (size >= (q + 0.5) * step) { q += 1.0; }
  return u32(clamp(q, 0.0, 127.0));
}

@compute @workgroup_size(64)
fn quantize_int8(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
  let row = index / params.groups;
  if (row >= params.rows) { return; }
  let group = index % params.groups;
  var largest = 0.0;
  for (var i = 0u; i < 32u; i++) { largest = max(largest, abs(source_value(32u * index + i))); }
  let scale_bits = half_bits(largest * SHARE);
  let scale = half_value(scale_bits);

  var source_row = params.first_row + row;
  if (params.head_dim > 0u) {
    let i = source_row % params.head_dim;
    source_row += (i / 2u) + (i % 2u) * (params.head_dim / 2u) - i;
  }
  let column = params.offset + source_row;
  scales[group * params.stride + column] = scale_bits;
  for (var four = 0u; four < 8u; four++) {
    var word = 0u;
    for (var i = 0u; i < 4u; i++) {
      let value = source_value(32u * index + 4u * four + i);
      let q = code(abs(value), scale);
      word |= (select(q, 0u - q, value < 0.0) & 0xFFu) << (8u * i);
    }
    words[(8u * group + four) * params.stride + column] = word;
  }
}
