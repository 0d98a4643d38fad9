// attention — o = softmax(q·kᵀ/√D, causal)·v with an online softmax; scores are never stored
// Operands: lib/attend_operands.wgsl. Dispatch (⌈S/LANES⌉, H, B): an invocation owns one query of one
// head in registers; all of a workgroup read the same key at a time.
// Needs a head_dim_* prelude and the attend_* one. Source: arXiv:2205.14135.

override LANES: u32 = 8;

@compute @workgroup_size(LANES)
fn attention(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
  let first = group.x * LANES;
  let last_query = params.queries - 1u;
  let query = min(first + local.x, last_query);
  let row = group.z * params.queries + query;
  let start = first_visible(row);
  let position = last_visible(row);
  let last_position = last_visible(group.z * params.queries + min(first + LANES - 1u, last_query));
  let stop = min(last_position + 1u, params.keys);
  let key_head = group.y / params.heads_per_key * HEAD_QUADS;

  var query_row: array<vec4f, HEAD_QUADS>;
  var sum: array<vec4f, HEAD_QUADS>;
  let q_start = row * params.q_stride + group.y * HEAD_QUADS;
  for (var i = 0u; i < HEAD_QUADS; i++) {
    query_row[i] = q[q_start + i] * params.scale;
    sum[i] = vec4f();
  }
  var largest = LOWEST;
  var total = 0.0;
  for (var key = first_visible(group.z * params.queries + first); key < stop; key++) {
    let key_row = group.z * params.keys + key;
    let k_start = key_row * params.k_stride + params.k_offset + key_head;
    let v_start = key_row * params.v_stride + params.v_offset + key_head;
    var products = vec4f();
    for (var i = 0u; i < HEAD_QUADS; i++) { products += query_row[i] * k[k_start + i]; }
    let is_seen = key >= start && key <= position;
    let score = select(LOWEST, dot(products, vec4f(1.0)), is_seen);
    let raised = max(largest, score);
    let fade = exp(largest - raised);
    let share = select(0.0, exp(score - raised), is_seen);
    for (var i = 0u; i < HEAD_QUADS; i++) { sum[i] = sum[i] * fade + share * v[v_start + i]; }
    total = total * fade + share;
    largest = raised;
  }
  if (first + local.x > last_query) { return; }
  let o_start = (row * params.heads + group.y) * HEAD_QUADS;
  for (var i = 0u; i < HEAD_QUADS; i++) { o[o_start + i] = sum[i] / total; }
  logsumexp[row * params.heads + group.y] = largest + log(total);
}
