// swiglu — y = silu(gate) · up,  silu(g) = g / (1 + e^−g)
// gate_up (rows, 2·F), gate in the first F columns → y (rows, F), f32; F a multiple of 4
// Dispatch grid_1d(rows · F/4, 64): one invocation four elements.
// Source: arXiv:2002.05202.

@group(0) @binding(0) var<storage, read> gate_up: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,   // F / 4
}

const STEEPEST = vec4f(-80.0);   // e^80 is still finite in f32; silu is zero long before

@compute @workgroup_size(64)
fn swiglu(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let row = index / params.quads;
  if (row >= params.rows) { return; }
  let at = row * 2u * params.quads + index % params.quads;
  let gate = gate_up[at];
  y[index] = gate / (1.0 + exp(-max(gate, STEEPEST))) * gate_up[at + params.quads];
}
