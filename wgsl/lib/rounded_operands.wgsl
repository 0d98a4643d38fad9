// Prelude: what the product with eight-bit rows binds after the matrix, and what its kernels share.
// codes (M, K/4), code_scales (M, K/32) of quantize_rows.wgsl · h (M, MODULES·RANK) = scaling·X·Aᵀ of
// the X before it was rounded · factors: B (N, RANK) · residual (M, N) → y (M, N), f32
// y = Σ_g sx·(scale·Σ q·qx + min·Σ qx) + H·Bᵀ: integers within a group of 32, f32 from group to group.
// W may be several modules stacked (q|k|v); its row n reads the columns of h of its module.

@group(0) @binding(2) var<storage, read> codes: array<vec4u>;
@group(0) @binding(3) var<storage, read> code_scales: array<vec2f>;
@group(0) @binding(4) var<storage, read> h: array<f32>;
@group(0) @binding(5) var<storage, read> factors: array<Factor>;
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
}

// A constant: a software adapter makes no branches and would load what it then drops.
override HAS_RESIDUAL: u32 = 0;

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

// A group of a row times that of four columns; lo and hi are its 32 elements.
fn sum_group(w: Codes, lo: vec4u, hi: vec4u) -> vec4i {
  return dots(w[0], lo.x) + dots(w[1], lo.y) + dots(w[2], lo.z) + dots(w[3], lo.w)
    + dots(w[4], hi.x) + dots(w[5], hi.y) + dots(w[6], hi.z) + dots(w[7], hi.w);
}

// What a group adds to y; x is the scale of the row's group and the sum of its elements.
fn rescale(sum: vec4i, affine: Affine, x: vec2f) -> vec4f {
  return x.x * (affine.scale * vec4f(sum) + affine.minimum * x.y);
}

// Columns of h before those of the module of one quad.
fn hidden_start(quad: u32) -> u32 {
  let column = 4u * quad;
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  return stack * params.rank;
}

// One element of a row of h, of the last row where it is past that.
fn load_h(row: u32, column: u32) -> f32 {
  return h[min(row, params.rows - 1u) * params.modules * params.rank + column];
}

// B[4·quad .. 4·quad + 3, r]
fn load_b(quad: u32, r: u32) -> vec4f {
  return b_quad(r, quad, params.quads, params.rank, hidden_start(quad));
}

fn store(row: u32, quad: u32, value: vec4f) {
  if (row >= params.rows || quad >= params.quads) { return; }
  let index = row * params.quads + quad;
  var total = value;
  if (HAS_RESIDUAL > 0u) { total += residual[index]; }
  y[index] = total;
}
