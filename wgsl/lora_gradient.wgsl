// lora_gradient — out[c, r] += Σ_t u[t, c] · v[t, m(c)·RANK + r], the gradients of A and B
// dA = Gᵀ·X: u = x (T, K), v = g (T, R), one module of rank R, out strides (1, K)
// dB = dYᵀ·H: u = dy (T, N), v = h (T, MODULES·RANK), m(c) the module of column c, strides (RANK, 1)
// Dispatch (⌈C/8/LANES⌉, ⌈RANK/4⌉, 1): an invocation owns eight columns × four ranks and every
// SLICES-th row; slices are summed in a fixed order and added to out, which holds the sum over
// the micro-batches of a step. Modules begin at multiples of eight columns.

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

var<workgroup> partial: array<mat4x4f, 2u * LANES * SLICES>;

@compute @workgroup_size(LANES, SLICES)
fn lora_gradient(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: matrix column j holds rank j's four columns of one quad of u.
  let quad = 2u * (group.x * LANES + local.x);
  let read_quad = min(quad, params.quads - 1u);
  let other_quad = min(quad + 1u, params.quads - 1u);
  let column = 4u * read_quad;
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  let rank = 4u * group.y;
  let ranks = stack * params.rank
    + min(vec4u(rank, rank + 1u, rank + 2u, rank + 3u), vec4u(params.rank - 1u));
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  var o0 = vec4f(); var o1 = vec4f(); var o2 = vec4f(); var o3 = vec4f();
  for (var t = local.y; t < params.rows; t += SLICES) {
    let value = u[t * params.quads + read_quad];
    let at = t * params.width;
    let other = u[t * params.quads + other_quad];
    let f = vec4f(v[at + ranks.x], v[at + ranks.y], v[at + ranks.z], v[at + ranks.w]);
    s0 += f.x * value; o0 += f.x * other;
    s1 += f.y * value; o1 += f.y * other;
    s2 += f.z * value; o2 += f.z * other;
    s3 += f.w * value; o3 += f.w * other;
  }
  let own = 2u * (local.y * LANES + local.x);
  partial[own] = mat4x4f(s0, s1, s2, s3);
  partial[own + 1u] = mat4x4f(o0, o1, o2, o3);
  workgroupBarrier();

  // Phase 2: the first slice adds the others up and stores what is inside.
  if (local.y > 0u) { return; }
  for (var side = 0u; side < 2u; side++) {
    if (quad + side >= params.quads) { return; }
    var total = partial[2u * local.x + side];
    for (var slice = 1u; slice < SLICES; slice++) { total += partial[2u * (slice * LANES + local.x) + side]; }
    for (var j = 0u; j < 4u; j++) {
      if (rank + j >= params.rank) { break; }
      for (var i = 0u; i < 4u; i++) {
        out[(column + 4u * side + i) * params.column_stride + (rank + j) * params.rank_stride] += total[j][i];
      }
    }
  }
}
