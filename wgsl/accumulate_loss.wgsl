// accumulate_loss — sum[0] += Σ losses, in a fixed order
// losses (rows) → sum (1), f32. Dispatch (1, 1, 1).

@group(0) @binding(0) var<storage, read> losses: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
  rows: u32,
}

const WORKGROUP_SIZE = 64u;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn accumulate_loss(@builtin(local_invocation_index) lane: u32) {
  var total = 0.0;
  for (var row = lane; row < params.rows; row += WORKGROUP_SIZE) { total += losses[row]; }
  partial[lane] = total;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  if (lane == 0u) { sum[0] += partial[0]; }
}
