// attention_backward_query — dq, and delta = Σ_d do·o for the key kernel
// p = e^(s − logsumexp),  ds = p · (do·v − delta),  dq = Σ_keys ds · k / √D
// Operands: lib/query_gradient_operands.wgsl. Dispatch (⌈S/LANES⌉, H, B): an invocation owns one
// query of one head; scores are recomputed.
// Needs a head_dim_* prelude and the query_gradient_* one. Source: arXiv:2307.08691, the two-kernel
// backward.

override LANES: u32 = 8;

@compute @workgroup_size(LANES)
fn attention_backward_query(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES;
  let last_query = params.queries - 1u;
  let query = min(first + local.x, last_query);
  let start_row = group.z * params.queries;
  let row = start_row + query;
  let start = first_visible(row);
  let position = last_visible(row);
  let stop = min(last_visible(start_row + min(first + LANES - 1u, last_query)) + 1u, params.queries);
  let key_head = group.y / params.heads_per_key * HEAD_QUADS;

  var query_row: array<vec4f, HEAD_QUADS>;
  var upstream: array<vec4f, HEAD_QUADS>;
  var sum: array<vec4f, HEAD_QUADS>;
  let q_start = row * params.stride + group.y * HEAD_QUADS;
  let o_start = (row * params.heads + group.y) * HEAD_QUADS;
  var products = vec4f();
  for (var i = 0u; i < HEAD_QUADS; i++) {
    query_row[i] = qkv[q_start + i] * params.scale;
    upstream[i] = d_o[o_start + i];
    products += upstream[i] * o[o_start + i];
    sum[i] = vec4f();
  }
  let own_delta = dot(products, vec4f(1.0));
  let own_logsumexp = logsumexp[row * params.heads + group.y];
  for (var key = first_visible(start_row + first); key < stop; key++) {
    let key_start = (start_row + key) * params.stride + key_head;
    var scores = vec4f();
    var gains = vec4f();
    for (var i = 0u; i < HEAD_QUADS; i++) {
      scores += query_row[i] * qkv[key_start + params.k_offset + i];
      gains += upstream[i] * qkv[key_start + params.v_offset + i];
    }
    // A key the query does not see may score far above logsumexp: no overflow before it is dropped.
    let share = exp(min(dot(scores, vec4f(1.0)) - own_logsumexp, 0.0));
    let is_seen = key >= start && key <= position;
    let slope = select(0.0, share * (dot(gains, vec4f(1.0)) - own_delta), is_seen);
    for (var i = 0u; i < HEAD_QUADS; i++) {
      sum[i] += slope * qkv[key_start + params.k_offset + i];
    }
  }
  if (first + local.x > last_query) { return; }
  for (var i = 0u; i < HEAD_QUADS; i++) { d_qkv[q_start + i] = sum[i] * params.scale; }
  delta[row * params.heads + group.y] = own_delta;
}
