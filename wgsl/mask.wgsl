// mask — values ← values where the mask's bit is 1, else 0
// values (size), f32, in place · bits (⌈size / 32⌉): element i is bit i mod 32 of word i / 32
// Dispatch grid_1d(size, 64). Keeps ranks that are not in use at zero: gradients before the update,
// columns of B after it.

@group(0) @binding(0) var<storage, read> bits: array<u32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params { size: u32 }

@compute @workgroup_size(64)
fn mask(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  if (((bits[i / 32u] >> (i % 32u)) & 1u) == 0u) { values[i] = 0.0; }
}
