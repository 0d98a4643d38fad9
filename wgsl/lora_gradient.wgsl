// lora_gradient — dA += Gᵀ·X and dB += dYᵀ·H, the gradients of an adapter, in one launch
// x (T, K) · g (T, MODULES·RANK) → da (MODULES·RANK, K)
// dy (T, N) · h (T, MODULES·RANK) → db (N, RANK); a column of dy reads the ranks of its module
// Both are Σ_t u[t, c] · v[t, r]. Dispatch (A_GROUPS·⌈MODULES·RANK/4⌉ + B_GROUPS·⌈RANK/4⌉, 1, 1)
// with A_GROUPS = ⌈K/8/LANES⌉, B_GROUPS = ⌈N/8/LANES⌉: an invocation owns eight columns × four
// ranks and every SLICES-th row; slices are summed in a fixed order and added to what the outputs
// hold, the sum over the micro-batches of a step. Modules begin at multiples of eight columns.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read_write> da: array<f32>;
@group(0) @binding(5) var<storage, read_write> db: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

struct Params {
  rows: u32,            // T
  x_quads: u32,         // K / 4
  dy_quads: u32,        // N / 4
  rank: u32,
  modules: u32,
  first_bound: u32,     // columns of dy before the second module
  second_bound: u32,    // columns of dy before the third module
  a_groups: u32,
  b_groups: u32,
}

override LANES: u32 = 8;
override SLICES: u32 = 8;

// Eight columns × four ranks: s is the first four columns, o the others; a component a column.
struct Sums { s0: vec4f, s1: vec4f, s2: vec4f, s3: vec4f, o0: vec4f, o1: vec4f, o2: vec4f, o3: vec4f }

var<workgroup> partial: array<mat4x4f, 2u * LANES * SLICES>;

fn add(sums: Sums, value: vec4f, other: vec4f, factor: vec4f) -> Sums {
  return Sums(
    sums.s0 + factor.x * value, sums.s1 + factor.y * value, sums.s2 + factor.z * value, sums.s3 + factor.w * value,
    sums.o0 + factor.x * other, sums.o1 + factor.y * other, sums.o2 + factor.z * other, sums.o3 + factor.w * other,
  );
}

@compute @workgroup_size(LANES, SLICES)
fn lora_gradient(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: which product, columns and ranks. Indices past the end repeat the last.
  let width = params.modules * params.rank;
  let num_a = params.a_groups * ((width + 3u) / 4u);
  let is_a = group.x < num_a;
  let index = select(group.x - num_a, group.x, is_a);
  let groups = select(params.b_groups, params.a_groups, is_a);
  let quads = select(params.dy_quads, params.x_quads, is_a);
  let ranks = select(params.rank, width, is_a);
  let quad = 2u * (index % groups * LANES + local.x);
  let rank = index / groups * 4u;
  let left = min(quad, quads - 1u);
  let right = min(quad + 1u, quads - 1u);
  let column = 4u * left;
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  let first = select(stack * params.rank, 0u, is_a);
  let factors = first + min(vec4u(rank, rank + 1u, rank + 2u, rank + 3u), vec4u(ranks - 1u));

  // Phase 2: the sums over this slice's rows. Of the two loops a workgroup runs one.
  var sums = Sums();
  for (var t = local.y; t < select(0u, params.rows, is_a); t += SLICES) {
    let at = t * width;
    let factor = vec4f(g[at + factors.x], g[at + factors.y], g[at + factors.z], g[at + factors.w]);
    sums = add(sums, x[t * quads + left], x[t * quads + right], factor);
  }
  for (var t = local.y; t < select(params.rows, 0u, is_a); t += SLICES) {
    let at = t * width;
    let factor = vec4f(h[at + factors.x], h[at + factors.y], h[at + factors.z], h[at + factors.w]);
    sums = add(sums, dy[t * quads + left], dy[t * quads + right], factor);
  }
  let own = 2u * (local.y * LANES + local.x);
  partial[own] = mat4x4f(sums.s0, sums.s1, sums.s2, sums.s3);
  partial[own + 1u] = mat4x4f(sums.o0, sums.o1, sums.o2, sums.o3);
  workgroupBarrier();

  // Phase 3: the first slice adds the others up and stores what is inside.
  if (local.y > 0u) { return; }
  for (var side = 0u; side < 2u; side++) {
    if (quad + side >= quads) { return; }
    var total = partial[2u * local.x + side];
    for (var slice = 1u; slice < SLICES; slice++) { total += partial[2u * (slice * LANES + local.x) + side]; }
    for (var j = 0u; j < 4u; j++) {
      if (rank + j >= ranks) { break; }
      for (var i = 0u; i < 4u; i++) {
        let at = column + 4u * side + i;
        if (is_a) { da[(rank + j) * 4u * quads + at] += total[j][i]; }
        else { db[at * ranks + rank + j] += total[j][i]; }
      }
    }
  }
}
