// rope — rotate each pair (x[i], x[i + D/2]) of every head by position · theta^(−2i/D), in place
// x (rows, stride), whose first HEADS·D columns are rotated · positions (rows)
// table (positions, D/2) of (cos, sin), made in float64 on the host
// direction +1 rotates (forward), −1 rotates back (the gradient: a rotation's inverse is its transpose)
// Dispatch grid_1d(rows · HEADS · D/2, 64): one invocation a pair.
// Source: arXiv:2104.09864; HuggingFace's half-split order.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,
  stride: u32,
  heads: u32,
  half: u32,        // D / 2
  direction: f32,
}

@compute @workgroup_size(64)
fn rope(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let pairs = params.heads * params.half;
  let row = index / pairs;
  if (row >= params.rows) { return; }
  let head = (index % pairs) / params.half;
  let i = index % params.half;
  let at = row * params.stride + head * 2u * params.half + i;
  let turn = table[positions[row] * params.half + i];
  let sine = params.direction * turn.y;
  let first = x[at];
  let second = x[at + params.half];
  x[at] = first * turn.x - second * sine;
  x[at + params.half] = second * turn.x + first * sine;
}
