// embedding — y[t] = table[ids[t]], dequantized
// ids (rows) · table (V, C) packed → y (rows, C), f32
// Dispatch grid_1d(rows · C/8, 64): one invocation eight elements of one row.
// Needs a weights_* prelude (bindings 0 and 1): the table is the head's matrix where they are tied.

@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,    // V / 4
  octets: u32,   // C / 8
}

@compute @workgroup_size(64)
fn embedding(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let row = index / params.octets;
  if (row >= params.rows) { return; }
  let octet = index % params.octets;
  let id = ids[row];
  let packed = load_words(octet, id / 4u, params.quads);
  let scale = load_scales(octet, id / 4u, params.quads);
  let value = dequantize(packed, scale, id % 4u);
  y[2u * index] = value.lo;
  y[2u * index + 1u] = value.hi;
}
