// attention_backward_key_shared — attention_backward_key.wgsl with two keys an invocation and queries
// read once for eight; see attention_shared.wgsl for why. The (query, head) pairs that see a key head
// come eight at a time, one read by each invocation.
// Dispatch (⌈S/2/LANES⌉, HK, B), LANES a multiple of 8.
// Needs a blocks_* prelude, a shared_head_dim_* one and the key_gradient_* one.
// Source: arXiv:2307.08691, the two-kernel backward.

override LANES: u32 = 8;

const OWNED = 2u;   // keys of an invocation
const QKV = 0u;
const D_O = 1u;

fn read_block(source: u32, at: u32) -> mat4x4f {
  switch source {
    case QKV: { return mat4x4f(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]); }
    default: { return mat4x4f(d_o[at], d_o[at + 1u], d_o[at + 2u], d_o[at + 3u]); }
  }
}

fn write_block(at: u32, x: mat4x4f) {
  d_qkv[at] = x[0]; d_qkv[at + 1u] = x[1]; d_qkv[at + 2u] = x[2]; d_qkv[at + 3u] = x[3];
}

@compute @workgroup_size(LANES)
fn attention_backward_key_shared(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let first = group.x * LANES * OWNED;
  let last_key = params.queries - 1u;
  let start_row = group.z * params.queries;
  // Keys past the end repeat the last one and are not stored.
  let key = vec2u(first + local.x) + vec2u(0u, 1u) * LANES;
  let read_key = min(key, vec2u(last_key));
  let start = (start_row + read_key) * params.stride + group.y * HEAD_QUADS;
  let k_start = start + params.k_offset;
  let v_start = start + params.v_offset;
  let k0 = scaled(read_head(QKV, k_start.x), params.scale);
  let k1 = scaled(read_head(QKV, k_start.y), params.scale);
  let v0 = read_head(QKV, v_start.x);
  let v1 = read_head(QKV, v_start.y);
  var d_k0 = Head(); var d_k1 = Head();
  var d_v0 = Head(); var d_v1 = Head();
  let pairs = params.queries * params.heads_per_key;
  let lane = own_lane();
  for (var base = first * params.heads_per_key; base < pairs; base += 8u) {
    // A later part sees none of these keys.
    if (first_visible(start_row + base / params.heads_per_key) >= first + LANES * OWNED) { break; }
    let pair = min(base + lane, pairs - 1u);
    let row = start_row + pair / params.heads_per_key;
    let head = group.y * params.heads_per_key + pair % params.heads_per_key;
    let at = row * params.heads + head;
    let own_first = first_visible(row);
    let own_stop = select(0u, last_visible(row) + 1u, base + lane < pairs);
    let own_shift = logsumexp[at];
    let own_delta = delta[at];
    let own_query = read_head(QKV, row * params.stride + head * HEAD_QUADS);
    let own_upstream = read_head(D_O, at * HEAD_QUADS);
    for (var j = 0u; j < 8u; j++) {
      let upstream = shared_head(own_upstream, j);
      let query = shared_head(own_query, j);
      let score = vec2f(inner(k0, query), inner(k1, query)) - share_number(own_shift, j);
      let gain = vec2f(inner(v0, upstream), inner(v1, upstream)) - share_number(own_delta, j);
      // min: an unseen score may lie far above logsumexp, and select evaluates both sides.
      let begin = vec2u(share_index(own_first, j));
      let is_seen = (read_key >= begin) & (read_key < vec2u(share_index(own_stop, j)));
      let share = select(vec2f(), exp(min(score, vec2f())), is_seen);
      let slope = share * gain;
      d_v0 = added(d_v0, upstream, share.x);
      d_v1 = added(d_v1, upstream, share.y);
      d_k0 = added(d_k0, query, slope.x);
      d_k1 = added(d_k1, query, slope.y);
    }
  }
  if (key.x <= last_key) {
    write_head(k_start.x, scaled(d_k0, params.scale));
    write_head(v_start.x, d_v0);
  }
  if (key.y <= last_key) {
    write_head(k_start.y, scaled(d_k1, params.scale));
    write_head(v_start.y, d_v1);
  }
}
