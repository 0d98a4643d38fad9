// lora_gradient — out[c, r] += Σ_t u[t, c] · v[t, m(c)·RANK + r], the gradients of A and B
// dA = Gᵀ·X: u = x (T, K), v = g (T, R), one module of rank R, out strides (1, K)
// dB = dYᵀ·H: u = dy (T, N), v = h (T, MODULES·RANK), m(c) the module of column c, strides (RANK, 1)
// Dispatch (⌈C/4/LANES⌉, ⌈RANK/4⌉, 1): an invocation owns four columns × four ranks and every
// SLICES-th row; slices are summed in a fixed order and added to out, which holds the sum over
// the micro-batches of a step.

@group(0) @binding(0) var<storage, read> u: array<vec4f>;
@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,            // T
  quads: u32,           // C / 4
  rank: u32,
  width: u32,           // columns of v
  first_bound: u32,     // columns of u before the second module
  second_bound: u32,    // columns of u before the third module
  column_stride: u32,
  rank_stride: u32,
}

override LANES: u32 = 8;
override SLICES: u32 = 8;

var<workgroup> partial: array<mat4x4f, LANES * SLICES>;

@compute @workgroup_size(LANES, SLICES)
fn lora_gradient(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: matrix column j holds rank j's four columns of u.
  let quad = group.x * LANES + local.x;
  let read_quad = min(quad, params.quads - 1u);
  let column = 4u * read_quad;
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  let rank = 4u * group.y;
  let ranks = stack * params.rank
    + min(vec4u(rank, rank + 1u, rank + 2u, rank + 3u), vec4u(params.rank - 1u));
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var t = local.y; t < params.rows; t += SLICES) {
    let value = u[t * params.quads + read_quad];
    let at = t * params.width;
    s0 += v[at + ranks.x] * value;
    s1 += v[at + ranks.y] * value;
    s2 += v[at + ranks.z] * value;
    s3 += v[at + ranks.w] * value;
  }
  partial[local.y * LANES + local.x] = mat4x4f(s0, s1, s2, s3);
  workgroupBarrier();

  // Phase 2: the first slice adds the others up and stores what is inside.
  if (local.y > 0u || quad >= params.quads) { return; }
  var total = partial[local.x];
  for (var slice = 1u; slice < SLICES; slice++) { total += partial[slice * LANES + local.x]; }
  for (var j = 0u; j < 4u; j++) {
    if (rank + j >= params.rank) { break; }
    for (var i = 0u; i < 4u; i++) {
      out[(column + i) * params.column_stride + (rank + j) * params.rank_stride] += total[j][i];
    }
  }
}
