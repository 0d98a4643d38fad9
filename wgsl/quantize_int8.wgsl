// quantize_int8 — w ≈ scale·q with q in −127..127, groups of 32 along K, into lib/weights_int8.wgsl
// source: whole rows (rows, K) · → words, scales. scale = max|w| / 127, rounded to f16 first.
// Dispatch grid_1d(rows · K/32, 64): one invocation a group of one row.
// Needs a source_* and a half_* and the into_* and step_* preludes. Every result is exact: no division decides a code.

const SHARE = 1.0 / 127.0;

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

  let column = column_of(row);
  scales[group * params.stride + column] = scale_bits;
  for (var four = 0u; four < 8u; four++) {
    var word = 0u;
    for (var i = 0u; i < 4u; i++) {
      let value = source_value(32u * index + 4u * four + i);
      let q = nearest_step(abs(value), scale, 127.0);
      word |= (select(q, 0u - q, value < 0.0) & 0xFFu) << (8u * i);
    }
    words[(8u * group + four) * params.stride + column] = word;
  }
}
