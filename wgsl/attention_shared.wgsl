// attention_shared — attention.wgsl with four queries an invocation and keys read once for eight
// For software adapters, where loads cost most. The rows of a workgroup are (query, head) pairs of
// one key head, heads fastest: a key that was loaded serves all query heads of its group, and a
// workgroup spans few positions, so that it computes little above the diagonal. Eight keys are read
// at a time, one an invocation, and shared.
// Dispatch (⌈S·H/HK/4/LANES⌉, HK, B), LANES a multiple of 8.
// Needs a blocks_* prelude, a shared_head_dim_* one and the attend_* one. Source: arXiv:2205.14135.

override LANES: u32 = 8;

const OWNED = 4u;         // pairs of an invocation

const Q = 0u;
const K = 1u;
const V = 2u;

fn read_block(source: u32, at: u32) -> mat4x4f {
  switch source {
    case Q: { return mat4x4f(q[at], q[at + 1u], q[at + 2u], q[at + 3u]); }
    case K: { return mat4x4f(k[at], k[at + 1u], k[at + 2u], k[at + 3u]); }
    default: { return mat4x4f(v[at], v[at + 1u], v[at + 2u], v[at + 3u]); }
  }
}

fn write_block(at: u32, x: mat4x4f) {
  o[at] = x[0]; o[at + 1u] = x[1]; o[at + 2u] = x[2]; o[at + 3u] = x[3];
}

@compute @workgroup_size(LANES)
fn attention_shared(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES * OWNED;
  let last_pair = params.queries * params.heads_per_key - 1u;
  let start_row = group.z * params.queries;
  let last_query = min(first + LANES * OWNED - 1u, last_pair) / params.heads_per_key;
  let stop = min(last_visible(start_row + last_query) + 1u, params.keys);
  let key_head = group.y * HEAD_QUADS;

  // Pairs past the end repeat the last one and are not stored.
  let pair = vec4u(first + local.x) + vec4u(0u, 1u, 2u, 3u) * LANES;
  let read_pair = min(pair, vec4u(last_pair));
  let row = start_row + read_pair / params.heads_per_key;
  let head = group.y * params.heads_per_key + read_pair % params.heads_per_key;
  let start = vec4u(first_visible(row.x), first_visible(row.y), first_visible(row.z), first_visible(row.w));
  let position = vec4u(last_visible(row.x), last_visible(row.y), last_visible(row.z), last_visible(row.w));
  let q_start = row * params.q_stride + head * HEAD_QUADS;
  let q0 = scaled(read_head(Q, q_start.x), params.scale);
  let q1 = scaled(read_head(Q, q_start.y), params.scale);
  let q2 = scaled(read_head(Q, q_start.z), params.scale);
  let q3 = scaled(read_head(Q, q_start.w), params.scale);
  var sum0 = Head(); var sum1 = Head(); var sum2 = Head(); var sum3 = Head();
  var largest = vec4f(LOWEST);
  var total = vec4f();
  let lane = own_lane();
  for (var base = first_visible(start_row + first / params.heads_per_key); base < stop; base += 8u) {
    let key_row = group.z * params.keys + min(base + lane, stop - 1u);
    let own_key = read_head(K, key_row * params.k_stride + params.k_offset + key_head);
    let own_value = read_head(V, key_row * params.v_stride + params.v_offset + key_head);
    for (var j = 0u; j < 8u; j++) {
      let key = shared_head(own_key, j);
      let products = vec4f(inner(q0, key), inner(q1, key), inner(q2, key), inner(q3, key));
      let is_seen = (vec4u(base + j) >= start) & (vec4u(base + j) <= position);
      let score = select(vec4f(LOWEST), products, is_seen);
      let raised = max(largest, score);
      let fade = exp(largest - raised);
      let share = select(vec4f(), exp(score - raised), is_seen);
      let value = shared_head(own_value, j);
      sum0 = added(scaled(sum0, fade.x), value, share.x);
      sum1 = added(scaled(sum1, fade.y), value, share.y);
      sum2 = added(scaled(sum2, fade.z), value, share.z);
      sum3 = added(scaled(sum3, fade.w), value, share.w);
      total = total * fade + share;
      largest = raised;
    }
  }
  let at = row * params.heads + head;
  let own_logsumexp = largest + log(total);
  let o_start = at * HEAD_QUADS;
  if (pair.x <= last_pair) {
    write_head(o_start.x, divided(sum0, total.x));
    logsumexp[at.x] = own_logsumexp.x;
  }
  if (pair.y <= last_pair) {
    write_head(o_start.y, divided(sum1, total.y));
    logsumexp[at.y] = own_logsumexp.y;
  }
  if (pair.z <= last_pair) {
    write_head(o_start.z, divided(sum2, total.z));
    logsumexp[at.z] = own_logsumexp.z;
  }
  if (pair.w <= last_pair) {
    write_head(o_start.w, divided(sum3, total.w));
    logsumexp[at.w] = own_logsumexp.w;
  }
}
