// grad_norm — partials[i] = Σ g² over the i-th contiguous share of a flat gradient
// gradients (size) → partials (workgroups), f32; update_prepare.wgsl adds them up in order
// Dispatch (workgroups, 1, 1); sums by a fixed tree.

@group(0) @binding(0) var<storage, read> gradients: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
  size: u32,
  share: u32,   // elements of a workgroup
}

const WORKGROUP_SIZE = 64u;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn grad_norm(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  let stop = min((group.x + 1u) * params.share, params.size);
  var sum = 0.0;
  for (var i = group.x * params.share + lane; i < stop; i += WORKGROUP_SIZE) {
    sum += gradients[i] * gradients[i];
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  if (lane == 0u) { partials[group.x] = partial[0]; }
}
