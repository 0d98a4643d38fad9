// apply_f32 — w ← w·(1 − lr·decay) − delta;  delta ← 0, the gradient of the next step
// weights, delta (size), f32, size a multiple of 4; delta is what an *_delta kernel left. Where update
// says skip only the gradient is cleared.
// Dispatch grid_1d(size / 4, 64). Source: arXiv:1711.05101 (decoupled decay).

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> delta: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  quads: u32,   // size / 4
}

@compute @workgroup_size(64)
fn apply_f32(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.quads) { return; }
  if (update[0] != 0.0) { weights[i] = weights[i] * (1.0 - update[2] * update[3]) - delta[i]; }
  delta[i] = vec4f();
}
