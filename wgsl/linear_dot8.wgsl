// linear_dot8 — Y = X·Wᵀ + H·Bᵀ (+ residual) with X in eight bits: the prompt of a chat
// codes (M, K/4), code_scales (M, K/32) from quantize_rows · W (N, K) INT4 or INT8 ·
// h (M, MODULES·RANK) = scaling·X·Aᵀ, of the X before it was quantized · b (N, RANK) → y (M, N), f32
// y = Σ_g sx·(scale·Σ q·qx + min·Σ qx) + H·Bᵀ: integers within a group of 32, f32 from group to group.
// Dispatch (⌈N/8/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 8 columns in named registers.
// Needs an operand_* and a codes_* prelude (bindings 0 and 1). Modules and the low-rank term are as
// in linear.wgsl, and so is the reason for no workgroup memory.

@group(0) @binding(2) var<storage, read> codes: array<vec4u>;
@group(0) @binding(3) var<storage, read> code_scales: array<vec2f>;
@group(0) @binding(4) var<storage, read> h: array<f32>;
@group(0) @binding(5) var<storage, read> b: array<f32>;
@group(0) @binding(6) var<storage, read> residual: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,          // N / 4
  groups: u32,         // K / 32
  rank: u32,           // 0: no adapter
  modules: u32,
  first_bound: u32,    // rows of W before the second module
  second_bound: u32,   // rows of W before the third module
  has_residual: u32,
}

override LANES: u32 = 8;

struct Tile { left: vec4f, right: vec4f }

// Scales and minima of four columns.
struct Affine { scale: vec4f, minimum: vec4f }

fn load_affine(group: u32, quad: u32) -> Affine {
  let packed = scales[group * params.quads + quad];
  let s0 = unpack2x16float(packed.x); let s1 = unpack2x16float(packed.y);
  let s2 = unpack2x16float(packed.z); let s3 = unpack2x16float(packed.w);
  return Affine(vec4f(s0.x, s1.x, s2.x, s3.x), vec4f(s0.y, s1.y, s2.y, s3.y));
}

// Four elements of a row times those of four columns.
fn dots(w: vec4u, x: u32) -> vec4i {
  return vec4i(dot4I8Packed(w.x, x), dot4I8Packed(w.y, x), dot4I8Packed(w.z, x), dot4I8Packed(w.w, x));
}

// A group of a row times that of four columns.
fn product(w: Codes, affine: Affine, x: Group) -> vec4f {
  let sum = dots(w[0], x.lo.x) + dots(w[1], x.lo.y) + dots(w[2], x.lo.z) + dots(w[3], x.lo.w)
    + dots(w[4], x.hi.x) + dots(w[5], x.hi.y) + dots(w[6], x.hi.z) + dots(w[7], x.hi.w);
  return x.scale.x * (affine.scale * vec4f(sum) + affine.minimum * x.scale.y);
}

// Add the low-rank term of one rank: b of eight columns times h of one row.
fn add_rank(tile: Tile, index: u32, b_left: vec4f, b_right: vec4f) -> Tile {
  let value = h[index];
  return Tile(tile.left + value * b_left, tile.right + value * b_right);
}

// b[4·quad .. 4·quad + 3, r]
fn load_b(quad: u32, r: u32) -> vec4f {
  let start = 4u * quad * params.rank + r;
  return vec4f(b[start], b[start + params.rank], b[start + 2u * params.rank], b[start + 3u * params.rank]);
}

fn store(row: u32, quad: u32, value: vec4f) {
  if (row >= params.rows || quad >= params.quads) { return; }
  let index = row * params.quads + quad;
  var total = value;
  if (params.has_residual > 0u) { total += residual[index]; }
  y[index] = total;
}

@compute @workgroup_size(LANES)
fn linear_dot8(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // No early return: past the end an invocation repeats the last columns, and store() drops them.
  let quad = 2u * id.x;
  let left = min(quad, params.quads - 1u);
  let right = min(quad + 1u, params.quads - 1u);
  let first = 8u * group.y;
  let last = params.rows - 1u;
  let rows = eight_rows(first, last, params.groups);
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  for (var g = 0u; g < params.groups; g++) {
    let x = load_groups(rows, g);
    let w_l = load_codes(g, left, params.quads);
    let affine_l = load_affine(g, left);
    t0.left += product(w_l, affine_l, x[0]); t1.left += product(w_l, affine_l, x[1]);
    t2.left += product(w_l, affine_l, x[2]); t3.left += product(w_l, affine_l, x[3]);
    t4.left += product(w_l, affine_l, x[4]); t5.left += product(w_l, affine_l, x[5]);
    t6.left += product(w_l, affine_l, x[6]); t7.left += product(w_l, affine_l, x[7]);
    let w_r = load_codes(g, right, params.quads);
    let affine_r = load_affine(g, right);
    t0.right += product(w_r, affine_r, x[0]); t1.right += product(w_r, affine_r, x[1]);
    t2.right += product(w_r, affine_r, x[2]); t3.right += product(w_r, affine_r, x[3]);
    t4.right += product(w_r, affine_r, x[4]); t5.right += product(w_r, affine_r, x[5]);
    t6.right += product(w_r, affine_r, x[6]); t7.right += product(w_r, affine_r, x[7]);
  }
  // Bounds of modules are multiples of eight: both quads are columns of one module.
  let column = 4u * left;
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  let stride = params.modules * params.rank;
  for (var r = 0u; r < params.rank; r++) {
    let b_l = load_b(left, r);
    let b_r = load_b(right, r);
    let at = stack * params.rank + r;
    t0 = add_rank(t0, min(first, last) * stride + at, b_l, b_r);
    t1 = add_rank(t1, min(first + 1u, last) * stride + at, b_l, b_r);
    t2 = add_rank(t2, min(first + 2u, last) * stride + at, b_l, b_r);
    t3 = add_rank(t3, min(first + 3u, last) * stride + at, b_l, b_r);
    t4 = add_rank(t4, min(first + 4u, last) * stride + at, b_l, b_r);
    t5 = add_rank(t5, min(first + 5u, last) * stride + at, b_l, b_r);
    t6 = add_rank(t6, min(first + 6u, last) * stride + at, b_l, b_r);
    t7 = add_rank(t7, min(first + 7u, last) * stride + at, b_l, b_r);
  }
  store(first, quad, t0.left); store(first, quad + 1u, t0.right);
  store(first + 1u, quad, t1.left); store(first + 1u, quad + 1u, t1.right);
  store(first + 2u, quad, t2.left); store(first + 2u, quad + 1u, t2.right);
  store(first + 3u, quad, t3.left); store(first + 3u, quad + 1u, t3.right);
  store(first + 4u, quad, t4.left); store(first + 4u, quad + 1u, t4.right);
  store(first + 5u, quad, t5.left); store(first + 5u, quad + 1u, t5.right);
  store(first + 6u, quad, t6.left); store(first + 6u, quad + 1u, t6.right);
  store(first + 7u, quad, t7.left); store(first + 7u, quad + 1u, t7.right);
}
