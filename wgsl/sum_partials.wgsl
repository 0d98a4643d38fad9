// sum_partials — sum[0] = Σ values, in a fixed order
// values (size) → sum (1), f32. Dispatch (1, 1, 1): sums by a fixed tree.

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
  size: u32,
}

const WORKGROUP_SIZE = 64u;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sum_partials(@builtin(local_invocation_index) lane: u32) {
  var total = 0.0;
  for (var i = lane; i < params.size; i += WORKGROUP_SIZE) { total += values[i]; }
  partial[lane] = total;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  if (lane == 0u) { sum[0] = partial[0]; }
}
