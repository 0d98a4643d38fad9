// attention_backward_query_tiled — attention_backward_query.wgsl with tiles of keys and values in
// workgroup memory, for GPUs. Pairs of query and head, one an invocation, as in attention_tiled.wgsl.
// Dispatch (⌈S·H/HK/LANES⌉, HK, B). Workgroup memory: 128·D bytes.
// Needs a head_dim_* prelude and the query_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 32;

const TILE = 16u;   // keys
const TILE_QUADS = TILE * HEAD_QUADS;

var<workgroup> keys: array<vec4f, TILE_QUADS>;
var<workgroup> values: array<vec4f, TILE_QUADS>;

@compute @workgroup_size(LANES)
fn attention_backward_query_tiled(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES;
  let last_pair = params.queries * params.heads_per_key - 1u;
  let start_row = group.z * params.queries;
  let last_query = min(first + LANES - 1u, last_pair) / params.heads_per_key;
  let stop = min(last_visible(start_row + last_query) + 1u, params.queries);
  let key_head = group.y * HEAD_QUADS;

  // Pairs past the end repeat the last one and are not stored.
  let pair = min(first + local.x, last_pair);
  let row = start_row + pair / params.heads_per_key;
  let head = group.y * params.heads_per_key + pair % params.heads_per_key;
  let own_first = first_visible(row);
  let position = last_visible(row);
  let at = row * params.heads + head;
  let q_start = row * params.stride + head * HEAD_QUADS;
  var query: array<vec4f, HEAD_QUADS>;
  var upstream: array<vec4f, HEAD_QUADS>;
  var sum: array<vec4f, HEAD_QUADS>;
  var gained = vec4f();
  for (var i = 0u; i < HEAD_QUADS; i++) {
    query[i] = qkv[q_start + i] * params.scale;
    upstream[i] = d_o[at * HEAD_QUADS + i];
    gained += upstream[i] * o[at * HEAD_QUADS + i];
    sum[i] = vec4f();
  }
  let own_delta = dot(gained, vec4f(1.0));
  let own_logsumexp = logsumexp[at];
  for (var base = first_visible(start_row + first / params.heads_per_key); base < stop; base += TILE) {
    workgroupBarrier();
    for (var i = local.x; i < TILE_QUADS; i += LANES) {
      let start = (start_row + min(base + i / HEAD_QUADS, stop - 1u)) * params.stride;
      let column = key_head + i % HEAD_QUADS;
      keys[i] = qkv[start + params.k_offset + column];
      values[i] = qkv[start + params.v_offset + column];
    }
    workgroupBarrier();
    let count = min(TILE, max(position + 1u, base) - base);
    for (var j = max(own_first, base) - base; j < count; j++) {
      let start = j * HEAD_QUADS;
      var scores = vec4f();
      var gains = vec4f();
      for (var i = 0u; i < HEAD_QUADS; i++) {
        scores += query[i] * keys[start + i];
        gains += upstream[i] * values[start + i];
      }
      let share = exp(dot(scores, vec4f(1.0)) - own_logsumexp);
      let slope = share * (dot(gains, vec4f(1.0)) - own_delta);
      for (var i = 0u; i < HEAD_QUADS; i++) { sum[i] += slope * keys[start + i]; }
    }
  }
  if (first + local.x > last_pair) { return; }
  for (var i = 0u; i < HEAD_QUADS; i++) { d_qkv[q_start + i] = sum[i] * params.scale; }
  delta[at] = own_delta;
}
