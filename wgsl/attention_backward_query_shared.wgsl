// attention_backward_query_shared — attention_backward_query.wgsl with two queries an invocation and keys
// read once for eight. Pairs of query and head as in attention_shared.wgsl.
// Dispatch (⌈S·H/HK/2/LANES⌉, HK, B), LANES a multiple of 8.
// Needs a blocks_* prelude, a shared_head_dim_* one and the query_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 8;

const OWNED = 2u;   // pairs of an invocation

const QKV = 0u;
const O = 1u;
const D_O = 2u;

fn read_block(source: u32, at: u32) -> mat4x4f {
  switch source {
    case QKV: { return mat4x4f(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]); }
    case O: { return mat4x4f(o[at], o[at + 1u], o[at + 2u], o[at + 3u]); }
    default: { return mat4x4f(d_o[at], d_o[at + 1u], d_o[at + 2u], d_o[at + 3u]); }
  }
}

fn write_block(at: u32, x: mat4x4f) {
  d_qkv[at] = x[0]; d_qkv[at + 1u] = x[1]; d_qkv[at + 2u] = x[2]; d_qkv[at + 3u] = x[3];
}

@compute @workgroup_size(LANES)
fn attention_backward_query_shared(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES * OWNED;
  let last_pair = params.queries * params.heads_per_key - 1u;
  let start_row = group.z * params.queries;
  let last_query = min(first + LANES * OWNED - 1u, last_pair) / params.heads_per_key;
  let stop = min(last_visible(start_row + last_query) + 1u, params.queries);
  let key_head = group.y * HEAD_QUADS;

  // Pairs past the end repeat the last one and are not stored.
  let pair = vec2u(first + local.x) + vec2u(0u, 1u) * LANES;
  let read_pair = min(pair, vec2u(last_pair));
  let row = start_row + read_pair / params.heads_per_key;
  let head = group.y * params.heads_per_key + read_pair % params.heads_per_key;
  let first_seen = vec2u(first_visible(row.x), first_visible(row.y));
  let position = vec2u(last_visible(row.x), last_visible(row.y));
  let q_start = row * params.stride + head * HEAD_QUADS;
  let at = row * params.heads + head;
  let o_start = at * HEAD_QUADS;
  let q0 = scaled(read_head(QKV, q_start.x), params.scale);
  let q1 = scaled(read_head(QKV, q_start.y), params.scale);
  let up0 = read_head(D_O, o_start.x);
  let up1 = read_head(D_O, o_start.y);
  let own_delta = vec2f(
    inner(up0, read_head(O, o_start.x)), inner(up1, read_head(O, o_start.y)),
  );
  let shift = vec2f(logsumexp[at.x], logsumexp[at.y]);
  var sum0 = Head(); var sum1 = Head();
  let lane = own_lane();
  for (var base = first_visible(start_row + first / params.heads_per_key); base < stop; base += 8u) {
    let start = (start_row + min(base + lane, stop - 1u)) * params.stride + key_head;
    let own_key = read_head(QKV, start + params.k_offset);
    let own_value = read_head(QKV, start + params.v_offset);
    for (var j = 0u; j < 8u; j++) {
      let key = shared_head(own_key, j);
      let score = vec2f(inner(q0, key), inner(q1, key));
      let value = shared_head(own_value, j);
      let gain = vec2f(inner(up0, value), inner(up1, value));
      // A key a query does not see may score far above logsumexp: no overflow before it is dropped.
      let share = exp(min(score - shift, vec2f()));
      let is_seen = (vec2u(base + j) >= first_seen) & (vec2u(base + j) <= position);
      let slope = select(vec2f(), share * (gain - own_delta), is_seen);
      sum0 = added(sum0, key, slope.x);
      sum1 = added(sum1, key, slope.y);
    }
  }
  if (pair.x <= last_pair) {
    write_head(q_start.x, scaled(sum0, params.scale));
    delta[at.x] = own_delta.x;
  }
  if (pair.y <= last_pair) {
    write_head(q_start.y, scaled(sum1, params.scale));
    delta[at.y] = own_delta.y;
  }
}
