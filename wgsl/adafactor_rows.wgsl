// adafactor_rows — means[k] ← β·means[k] + (1 − β)·mean over n of (g² + ε),  β = 1 − t^(−0.8)
// gradients (K, STRIDE), of which N columns count · means (K), f32
// Dispatch (K, 1, 1): a workgroup a row; sums by a fixed tree. Source: arXiv:1804.04235.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> means: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  columns: u32,   // N
  stride: u32,
}

const WORKGROUP_SIZE = 64u;
const EPS = 1e-30;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn adafactor_rows(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  var sum = 0.0;
  for (var n = lane; n < params.columns; n += WORKGROUP_SIZE) {
    let g = update[1] * gradients[group.x * params.stride + n];
    sum += g * g + EPS;
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  if (lane > 0u || update[0] == 0.0) { return; }
  let rest = pow(update[6], -0.8);
  means[group.x] = (1.0 - rest) * means[group.x] + rest * partial[0] / f32(params.columns);
}
