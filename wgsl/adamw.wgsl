// adamw — one update of all parameters: decoupled weight decay, bias-corrected moments
// p ← p·(1 − lr·decay);  m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g²
// p ← p − lr · (m / c1) / (√(v / c2) + eps),  g clipped, c1 = 1 − β1ᵗ, c2 = 1 − β2ᵗ
// update comes from update_prepare.wgsl; where it says skip, only the gradient is cleared.
// rates (⌈size / 64⌉) multiply the learning rate of 64 elements each: LoRA+ has one for B.
// All other arrays (size), f32, flat. Clears the gradient for the next step; last_good keeps the
// parameters that gave this step's finite loss, in case the new ones do not.
// Dispatch grid_1d(size, 64). Source: arXiv:1711.05101; matches torch.optim.AdamW.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<f32>;
@group(0) @binding(5) var<storage, read_write> last_good: array<f32>;
@group(0) @binding(6) var<storage, read> rates: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

struct Params {
  size: u32,
  beta1: f32,
  beta2: f32,
  rest1: f32,   // 1 − β1, subtracted on the host: in f32 it would lose digits
  rest2: f32,   // 1 − β2
  eps: f32,
}

@compute @workgroup_size(64)
fn adamw(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let gradient = gradients[i] * update[1];
  gradients[i] = 0.0;
  if (update[0] == 0.0) { return; }
  let learning_rate = update[2] * rates[i / 64u];
  let m = params.beta1 * first_moment[i] + params.rest1 * gradient;
  let v = params.beta2 * second_moment[i] + params.rest2 * gradient * gradient;
  first_moment[i] = m;
  second_moment[i] = v;
  last_good[i] = parameters[i];
  let decayed = parameters[i] * (1.0 - learning_rate * update[3]);
  parameters[i] = decayed - learning_rate * (m / update[4]) / (sqrt(v / update[5]) + params.eps);
}
