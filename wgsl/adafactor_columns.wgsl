// adafactor_columns — means[n] ← β·means[n] + (1 − β)·mean over k of (g² + ε),  β = 1 − t^(−0.8)
// gradients (K, STRIDE) · means (STRIDE), f32
// Dispatch (⌈STRIDE/4/LANES⌉, 1, 1): an invocation owns four columns and every SLICES-th row; slices
// are summed in a fixed order. Source: arXiv:1804.04235.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> means: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,    // K
  quads: u32,   // STRIDE / 4
}

override LANES: u32 = 8;
override SLICES: u32 = 8;

const EPS = 1e-30;

var<workgroup> partial: array<vec4f, LANES * SLICES>;

@compute @workgroup_size(LANES, SLICES)
fn adafactor_columns(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
  let quad = group.x * LANES + local.x;
  let column = min(quad, params.quads - 1u);
  var sum = vec4f();
  for (var k = local.y; k < params.rows; k += SLICES) {
    let g = update[1] * gradients[k * params.quads + column];
    sum += g * g + EPS;
  }
  partial[local.y * LANES + local.x] = sum;
  workgroupBarrier();
  if (local.y > 0u || quad >= params.quads || update[0] == 0.0) { return; }
  var total = partial[local.x];
  for (var slice = 1u; slice < SLICES; slice++) { total += partial[slice * LANES + local.x]; }
  let rest = pow(update[6], -0.8);
  means[quad] = (1.0 - rest) * means[quad] + rest * total / f32(params.rows);
}
