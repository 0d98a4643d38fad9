// lora_hidden_backward — G = scaling · dY·B, the gradient at the narrow side of an adapter
// dy (M, N) · factors: B (N, RANK) → g (M, MODULES·RANK), f32; module m reads its own columns of dy only;
// modules begin at multiples of 4
// Dispatch (⌈RANK/4⌉, ⌈M/4⌉, MODULES): a workgroup owns 4 rows × 4 ranks of a module; its
// invocations share the columns in slices that are summed in a fixed order. Needs a factors_* prelude.

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> factors: array<Factor>;
@group(0) @binding(2) var<storage, read_write> g: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,          // N / 4
  rank: u32,
  modules: u32,
  first_bound: u32,    // columns before the second module
  second_bound: u32,   // columns before the third module
  scaling: f32,
}

override SLICES: u32 = 16;

var<workgroup> partial: array<mat4x4f, SLICES>;

fn load_b(r: u32, n: u32, first: u32) -> vec4f { return b_quad(r, n, params.quads, params.rank, first); }

@compute @workgroup_size(SLICES)
fn lora_hidden_backward(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: column i of the matrix holds row i's four ranks. Indices past the end repeat the last.
  let bounds = vec4u(0u, params.first_bound, params.second_bound, 4u * params.quads) / 4u;
  let start = min(bounds[group.z], params.quads);
  let stop = min(bounds[group.z + 1u], params.quads);
  let first = group.z * params.rank;
  let row = 4u * group.y;
  let rank = 4u * group.x;
  let last_row = params.rows - 1u;
  let ranks = min(vec4u(rank, rank + 1u, rank + 2u, rank + 3u), vec4u(params.rank - 1u));
  let y0 = min(row, last_row) * params.quads; let y1 = min(row + 1u, last_row) * params.quads;
  let y2 = min(row + 2u, last_row) * params.quads; let y3 = min(row + 3u, last_row) * params.quads;
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var n = start + local.x; n < stop; n += SLICES) {
    let w = mat4x4f(
      load_b(ranks.x, n, first), load_b(ranks.y, n, first), load_b(ranks.z, n, first), load_b(ranks.w, n, first),
    );
    s0 += dy[y0 + n] * w;
    s1 += dy[y1 + n] * w;
    s2 += dy[y2 + n] * w;
    s3 += dy[y3 + n] * w;
  }
  partial[local.x] = mat4x4f(s0, s1, s2, s3);
  workgroupBarrier();

  // Phase 2: one invocation an element adds the slices.
  let width = params.modules * params.rank;
  for (var element = local.x; element < 16u; element += SLICES) {
    let i = element / 4u;
    let j = element % 4u;
    if (row + i < params.rows && rank + j < params.rank) {
      var sum = 0.0;
      for (var slice = 0u; slice < SLICES; slice++) { sum += partial[slice][i][j]; }
      g[(row + i) * width + group.z * params.rank + rank + j] = params.scaling * sum;
    }
  }
}
