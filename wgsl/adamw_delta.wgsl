// adamw_delta — gradients of a weight become what AdamW takes off it
// m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g²;  g ← lr · (m / c1) / (√(v / c2) + eps)
// update comes from update_prepare.wgsl; where it says skip nothing changes, and the apply_* kernel
// drops the gradient. gradients, moments (size), f32; size a multiple of 4.
// Dispatch grid_1d(size / 4, 64). Source: arXiv:1711.05101; matches torch.optim.AdamW.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> first_moment: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> second_moment: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  quads: u32,   // size / 4
  beta1: f32,
  beta2: f32,
  rest1: f32,   // 1 − β1, subtracted on the host: in f32 it would lose digits
  rest2: f32,   // 1 − β2
  eps: f32,
}

@compute @workgroup_size(64)
fn adamw_delta(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.quads || update[0] == 0.0) { return; }
  let gradient = gradients[i] * update[1];
  let m = params.beta1 * first_moment[i] + params.rest1 * gradient;
  let v = params.beta2 * second_moment[i] + params.rest2 * gradient * gradient;
  first_moment[i] = m;
  second_moment[i] = v;
  gradients[i] = update[2] * (m / update[4]) / (sqrt(v / update[5]) + params.eps);
}
