// attention_tiled — attention.wgsl with tiles of keys and values in workgroup memory, for GPUs
// The rows of a workgroup are (query, head) pairs of one key head, heads fastest, one an invocation,
// in registers: a tile that was read once serves all query heads of its group. The sum is rescaled
// only when a score exceeds all before.
// Dispatch (⌈S·H/HK/LANES⌉, HK, B). Workgroup memory: 128·D bytes.
// Needs a head_dim_* prelude and the attend_* one. Source: arXiv:2205.14135.

override LANES: u32 = 32;

const TILE = 16u;         // keys
const TILE_QUADS = TILE * HEAD_QUADS;

var<workgroup> keys: array<vec4f, TILE_QUADS>;
var<workgroup> values: array<vec4f, TILE_QUADS>;

@compute @workgroup_size(LANES)
fn attention_tiled(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES;
  let last_pair = params.queries * params.heads_per_key - 1u;
  let start_row = group.z * params.queries;
  let last_query = min(first + LANES - 1u, last_pair) / params.heads_per_key;
  let stop = min(last_visible(start_row + last_query) + 1u, params.keys);
  let key_head = group.y * HEAD_QUADS;

  // Pairs past the end repeat the last one and are not stored.
  let pair = min(first + local.x, last_pair);
  let row = start_row + pair / params.heads_per_key;
  let head = group.y * params.heads_per_key + pair % params.heads_per_key;
  let own_first = first_visible(row);
  let position = last_visible(row);
  let q_start = row * params.q_stride + head * HEAD_QUADS;
  var query: array<vec4f, HEAD_QUADS>;
  var sum: array<vec4f, HEAD_QUADS>;
  for (var i = 0u; i < HEAD_QUADS; i++) {
    query[i] = q[q_start + i] * params.scale;
    sum[i] = vec4f();
  }
  var largest = LOWEST;
  var total = 0.0;
  for (var base = first_visible(start_row + first / params.heads_per_key); base < stop; base += TILE) {
    workgroupBarrier();
    for (var i = local.x; i < TILE_QUADS; i += LANES) {
      let key_row = group.z * params.keys + min(base + i / HEAD_QUADS, stop - 1u);
      let column = key_head + i % HEAD_QUADS;
      keys[i] = k[key_row * params.k_stride + params.k_offset + column];
      values[i] = v[key_row * params.v_stride + params.v_offset + column];
    }
    workgroupBarrier();
    let count = min(TILE, max(position + 1u, base) - base);
    for (var j = max(own_first, base) - base; j < count; j++) {
      let start = j * HEAD_QUADS;
      var products = vec4f();
      for (var i = 0u; i < HEAD_QUADS; i++) { products += query[i] * keys[start + i]; }
      let score = dot(products, vec4f(1.0));
      if (score > largest) {
        let fade = exp(largest - score);
        for (var i = 0u; i < HEAD_QUADS; i++) { sum[i] *= fade; }
        total *= fade;
        largest = score;
      }
      let share = exp(score - largest);
      for (var i = 0u; i < HEAD_QUADS; i++) { sum[i] += share * values[start + i]; }
      total += share;
    }
  }
  if (first + local.x > last_pair) { return; }
  let at = row * params.heads + head;
  for (var i = 0u; i < HEAD_QUADS; i++) { o[at * HEAD_QUADS + i] = sum[i] / total; }
  logsumexp[at] = largest + log(total);
}
