// attention_backward_key_tiled — attention_backward_key.wgsl with tiles of queries in workgroup memory,
// for GPUs. An invocation owns one key of one key head; the (query, head) pairs that may see a
// workgroup's keys come in tiles, all heads of the group among them.
// Dispatch (⌈S/LANES⌉, HK, B). Workgroup memory: 128·D + 256 bytes, 8320 for D = 128.
// Needs a head_dim_* prelude and the key_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 32;

const TILE = 16u / (1u + HEAD_QUADS / 32u);   // pairs: fewer of 128 numbers, within 16 KB
const TILE_QUADS = TILE * HEAD_QUADS;

var<workgroup> queries: array<vec4f, TILE_QUADS>;
var<workgroup> upstreams: array<vec4f, TILE_QUADS>;
var<workgroup> shifts: array<f32, TILE>;   // logsumexp
var<workgroup> deltas: array<f32, TILE>;
var<workgroup> begins: array<u32, TILE>;   // a pair sees the keys from here
var<workgroup> stops: array<u32, TILE>;    // and below

@compute @workgroup_size(LANES)
fn attention_backward_key_tiled(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES;
  let last_key = params.queries - 1u;
  let key = min(first + local.x, last_key);
  let start_row = group.z * params.queries;
  let key_start = (start_row + key) * params.stride + group.y * HEAD_QUADS;

  var key_row: array<vec4f, HEAD_QUADS>;
  var value_row: array<vec4f, HEAD_QUADS>;
  var d_key: array<vec4f, HEAD_QUADS>;
  var d_value: array<vec4f, HEAD_QUADS>;
  for (var i = 0u; i < HEAD_QUADS; i++) {
    key_row[i] = qkv[key_start + params.k_offset + i] * params.scale;
    value_row[i] = qkv[key_start + params.v_offset + i];
    d_key[i] = vec4f();
    d_value[i] = vec4f();
  }
  let pairs = params.queries * params.heads_per_key;
  for (var base = first * params.heads_per_key; base < pairs; base += TILE) {
    if (first_visible(start_row + base / params.heads_per_key) >= first + LANES) { break; }   // a later part
    workgroupBarrier();
    for (var i = local.x; i < TILE_QUADS; i += LANES) {
      let pair = min(base + i / HEAD_QUADS, pairs - 1u);
      let row = start_row + pair / params.heads_per_key;
      let head = group.y * params.heads_per_key + pair % params.heads_per_key;
      let column = head * HEAD_QUADS + i % HEAD_QUADS;
      queries[i] = qkv[row * params.stride + column];
      upstreams[i] = d_o[row * params.heads * HEAD_QUADS + column];
    }
    for (var i = local.x; i < TILE; i += LANES) {
      let pair = min(base + i, pairs - 1u);
      let row = start_row + pair / params.heads_per_key;
      let at = row * params.heads + group.y * params.heads_per_key + pair % params.heads_per_key;
      shifts[i] = logsumexp[at];
      deltas[i] = delta[at];
      begins[i] = first_visible(row);
      stops[i] = select(0u, last_visible(row) + 1u, base + i < pairs);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (key < begins[j] || key >= stops[j]) { continue; }
      let start = j * HEAD_QUADS;
      var scores = vec4f();
      var gains = vec4f();
      for (var i = 0u; i < HEAD_QUADS; i++) {
        scores += key_row[i] * queries[start + i];
        gains += value_row[i] * upstreams[start + i];
      }
      let share = exp(dot(scores, vec4f(1.0)) - shifts[j]);
      let slope = share * (dot(gains, vec4f(1.0)) - deltas[j]);
      for (var i = 0u; i < HEAD_QUADS; i++) {
        d_value[i] += share * upstreams[start + i];
        d_key[i] += slope * queries[start + i];
      }
    }
  }
  if (first + local.x > last_key) { return; }
  for (var i = 0u; i < HEAD_QUADS; i++) {
    d_qkv[key_start + params.k_offset + i] = d_key[i] * params.scale;
    d_qkv[key_start + params.v_offset + i] = d_value[i];
  }
}
