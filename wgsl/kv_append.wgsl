// kv_append — rotate new queries in place; put rotated keys, and values, into the cache
// qkv (rows, H + 2·HK heads of D): queries, keys, values · positions (rows)
// table (positions, D/2) of (cos, sin) → k_cache, v_cache (room, HK·D), at the rows' positions
// Positions beyond the cache are dropped. Dispatch grid_1d(rows · (H + 2·HK)·D/8, 64): an
// invocation turns four neighbouring pairs as in rope.wgsl, or copies two vec4s of a value.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> qkv: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

struct Params {
  rows: u32,
  heads: u32,              // H
  key_value_heads: u32,    // HK
  half: u32,               // D / 8, vec4s of half a head
  room: u32,
}

@compute @workgroup_size(64)
fn kv_append(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let all = params.heads + 2u * params.key_value_heads;
  let row = index / (all * params.half);
  if (row >= params.rows) { return; }
  let head = index / params.half % all;
  let i = index % params.half;
  let at = 2u * params.half * (row * all + head) + i;
  let position = positions[row];
  let turn = 2u * (position * params.half + i);
  let even = table[turn];
  let odd = table[turn + 1u];
  let cosine = vec4f(even.xz, odd.xz);
  let sine = vec4f(even.yw, odd.yw);
  let first = qkv[at];
  let second = qkv[at + params.half];
  let turned_first = first * cosine - second * sine;
  let turned_second = second * cosine + first * sine;
  if (head < params.heads) {
    qkv[at] = turned_first;
    qkv[at + params.half] = turned_second;
    return;
  }
  if (position >= params.room) { return; }
  let cached = (head - params.heads) % params.key_value_heads;
  let to = 2u * params.half * (position * params.key_value_heads + cached) + i;
  if (head < params.heads + params.key_value_heads) {
    k_cache[to] = turned_first;
    k_cache[to + params.half] = turned_second;
  } else {
    v_cache[to] = first;
    v_cache[to + params.half] = second;
  }
}
