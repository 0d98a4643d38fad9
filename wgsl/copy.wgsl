// copy — y = x, to measure how fast memory is read and written
// x (quads) vec4f → y (quads) vec4f
// Dispatch grid_1d(quads, 64): one invocation 16 bytes.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
  quads: u32,
}

@compute @workgroup_size(64)
fn copy(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.quads) { return; }
  y[index] = x[index];
}
