// attention_backward_key — dk and dv together, summed over the query heads that share a key head
// p = e^(s − logsumexp),  ds = p · (do·v − delta),  dv = Σ_queries p · do,  dk = Σ ds · q / √D
// Operands: lib/key_gradient_operands.wgsl. Dispatch (⌈S/LANES⌉, HK, B): an invocation owns one key
// of one key head and loops over the heads of its group and all later queries, so nothing is added
// atomically. Needs a head_dim_* prelude and the key_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 8;

@compute @workgroup_size(LANES)
fn attention_backward_key(
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
  for (var member = 0u; member < params.heads_per_key; member++) {
    let head = group.y * params.heads_per_key + member;
    for (var query = first; query < params.queries; query++) {
      let row = start_row + query;
      if (first_visible(row) >= first + LANES) { break; }   // a later part
      let q_start = row * params.stride + head * HEAD_QUADS;
      let o_start = (row * params.heads + head) * HEAD_QUADS;
      var scores = vec4f();
      var gains = vec4f();
      for (var i = 0u; i < HEAD_QUADS; i++) {
        scores += key_row[i] * qkv[q_start + i];
        gains += value_row[i] * d_o[o_start + i];
      }
      let at = row * params.heads + head;
      let is_seen = key >= first_visible(row) && key <= last_visible(row);
      // min: an unseen score may lie far above logsumexp, and select evaluates both sides.
      let share = select(0.0, exp(min(dot(scores, vec4f(1.0)) - logsumexp[at], 0.0)), is_seen);
      let slope = share * (dot(gains, vec4f(1.0)) - delta[at]);
      for (var i = 0u; i < HEAD_QUADS; i++) {
        d_value[i] += share * d_o[o_start + i];
        d_key[i] += slope * qkv[q_start + i];
      }
    }
  }
  if (first + local.x > last_key) { return; }
  for (var i = 0u; i < HEAD_QUADS; i++) {
    d_qkv[key_start + params.k_offset + i] = d_key[i] * params.scale;
    d_qkv[key_start + params.v_offset + i] = d_value[i];
  }
}
