// lora_hidden — H = scaling · X·Aᵀ, the narrow side of an adapter
// x (M, K) · factors: A (R, K), the A matrices of stacked modules → h (M, R), f32; K a multiple of 4
// Dispatch (⌈R/4⌉, ⌈M/ROWS⌉, 1): a workgroup owns ROWS rows, 4 or 1, × 4 ranks; its invocations
// share K in slices that meet in workgroup memory and are summed in a fixed order.
// Needs a factors_* prelude.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> factors: array<Factor>;
@group(0) @binding(2) var<storage, read_write> h: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,   // K / 4
  ranks: u32,   // R
  scaling: f32,
}

override SLICES: u32 = 16;
override ROWS: u32 = 4;

var<workgroup> partial: array<mat4x4f, SLICES>;

fn load_a(r: u32, k: u32) -> vec4f { return a_quad(r, k, params.quads, params.ranks); }

@compute @workgroup_size(SLICES)
fn lora_hidden(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: column i of the matrix holds row i's four ranks. Indices past the end repeat the last.
  let row = ROWS * group.y;
  let rank = 4u * group.x;
  let last_row = params.rows - 1u;
  let last_rank = params.ranks - 1u;
  let x0 = min(row, last_row) * params.quads; let x1 = min(row + 1u, last_row) * params.quads;
  let x2 = min(row + 2u, last_row) * params.quads; let x3 = min(row + 3u, last_row) * params.quads;
  let ranks = min(vec4u(rank, rank + 1u, rank + 2u, rank + 3u), vec4u(last_rank));
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var k = local.x; k < params.quads; k += SLICES) {
    let w0 = load_a(ranks.x, k); let w1 = load_a(ranks.y, k);
    let w2 = load_a(ranks.z, k); let w3 = load_a(ranks.w, k);
    let v0 = x[x0 + k];
    s0 += vec4f(dot(v0, w0), dot(v0, w1), dot(v0, w2), dot(v0, w3));
    if (ROWS > 1u) {
      let v1 = x[x1 + k]; let v2 = x[x2 + k]; let v3 = x[x3 + k];
      s1 += vec4f(dot(v1, w0), dot(v1, w1), dot(v1, w2), dot(v1, w3));
      s2 += vec4f(dot(v2, w0), dot(v2, w1), dot(v2, w2), dot(v2, w3));
      s3 += vec4f(dot(v3, w0), dot(v3, w1), dot(v3, w2), dot(v3, w3));
    }
  }
  partial[local.x] = mat4x4f(s0, s1, s2, s3);
  workgroupBarrier();

  // Phase 2: one invocation an element adds the slices.
  for (var element = local.x; element < 4u * ROWS; element += SLICES) {
    let i = element / 4u;
    let j = element % 4u;
    if (row + i < params.rows && rank + j < params.ranks) {
      var sum = 0.0;
      for (var slice = 0u; slice < SLICES; slice++) { sum += partial[slice][i][j]; }
      h[(row + i) * params.ranks + rank + j] = params.scaling * sum;
    }
  }
}
