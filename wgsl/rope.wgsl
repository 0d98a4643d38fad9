// rope — rotate each pair (x[i], x[i + D/2]) of every head by position · theta^(−2i/D), in place
// x (rows, stride), whose first HEADS·D columns are rotated · positions (rows)
// table (positions, D/2) of (cos, sin), made in float64 on the host
// direction +1 rotates (forward), −1 rotates back (the gradient: a rotation's inverse is its transpose)
// Dispatch grid_1d(rows · HEADS · D/8, 64): one invocation four neighbouring pairs.
// Source: arXiv:2104.09864; HuggingFace's half-split order.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,
  stride: u32,      // vec4s of a row
  heads: u32,
  half: u32,        // D / 8, vec4s of half a head
  direction: f32,
}

@compute @workgroup_size(64)
fn rope(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let quads = params.heads * params.half;
  let row = index / quads;
  if (row >= params.rows) { return; }
  let head = (index % quads) / params.half;
  let i = index % params.half;
  let at = row * params.stride + head * 2u * params.half + i;
  let turn = 2u * (positions[row] * params.half + i);
  let even = table[turn];
  let odd = table[turn + 1u];
  let cosine = vec4f(even.xz, odd.xz);
  let sine = params.direction * vec4f(even.yw, odd.yw);
  let first = x[at];
  let second = x[at + params.half];
  x[at] = first * cosine - second * sine;
  x[at + params.half] = second * cosine + first * sine;
}
