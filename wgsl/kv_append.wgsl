// kv_append — copy the k and v columns of new rows into the cache at their positions
// qkv (rows, stride) · positions (rows) → k_cache, v_cache (room, HK·D); strides in vec4s
// Positions beyond the cache are dropped. Dispatch grid_1d(rows · HK·D/4, 64).

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> k_cache: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> v_cache: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,      // HK·D / 4
  stride: u32,
  k_offset: u32,
  v_offset: u32,
  room: u32,
}

@compute @workgroup_size(64)
fn kv_append(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let row = index / params.quads;
  if (row >= params.rows) { return; }
  let position = positions[row];
  if (position >= params.room) { return; }
  let i = index % params.quads;
  k_cache[position * params.quads + i] = qkv[row * params.stride + params.k_offset + i];
  v_cache[position * params.quads + i] = qkv[row * params.stride + params.v_offset + i];
}
