// take_row — y = x[row[0]], the hidden state of the last token of a prompt
// x (rows, C) · row (1) → y (1, C), f32; C a multiple of 4. Dispatch grid_1d(C/4, 64).

@group(0) @binding(0) var<storage, read> row: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  quads: u32,   // C / 4
}

@compute @workgroup_size(64)
fn take_row(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.quads) { y[id.x] = x[row[0] * params.quads + id.x]; }
}
