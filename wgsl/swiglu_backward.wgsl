// swiglu_backward — dgate = dy · up · σ(g)·(1 + g·(1 − σ(g))),  dup = dy · silu(g)
// dy (rows, F), gate_up (rows, 2·F) → d_gate_up (rows, 2·F), f32; F a multiple of 4
// silu is recomputed: it costs less than keeping it. Dispatch grid_1d(rows · F/4, 64).
// Source: derivative of swiglu.wgsl; app.reference.swiglu.

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> d_gate_up: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,   // F / 4
}

const STEEPEST = vec4f(-80.0);   // e^80 is still finite in f32; silu is zero long before

@compute @workgroup_size(64)
fn swiglu_backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let row = index / params.quads;
  if (row >= params.rows) { return; }
  let at = row * 2u * params.quads + index % params.quads;
  let gate = gate_up[at];
  let up = gate_up[at + params.quads];
  let sigmoid = 1.0 / (1.0 + exp(-max(gate, STEEPEST)));
  let upstream = dy[index];
  d_gate_up[at] = upstream * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
  d_gate_up[at + params.quads] = upstream * gate * sigmoid;
}
