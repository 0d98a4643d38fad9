// Prelude: what the forward product binds after the matrix, and what its kernels end with.
// x (M, K) · h (M, MODULES·RANK) = scaling·X·Aᵀ · factors: B (N, RANK) · residual (M, N) → y (M, N), f32
// W may be several modules stacked (q|k|v); its row n reads the columns of h of its module.

@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read> factors: array<Factor>;   // N is a multiple of 8
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,          // N / 4
  octets: u32,         // K / 8
  rank: u32,           // 0: no adapter
  modules: u32,
  first_bound: u32,    // rows of W before the second module
  second_bound: u32,   // rows of W before the third module
}

// A constant: a software adapter makes no branches and would load what it then drops.
override HAS_RESIDUAL: u32 = 0;

fn read_row(index: u32) -> vec4f { return x[index]; }

fn read_value(index: u32) -> f32 { return h[index]; }   // rows_* wants it; see load_h

// Columns of h before those of the module of one quad.
fn hidden_start(quad: u32) -> u32 {
  let column = 4u * quad;
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  return stack * params.rank;
}

// One element of a row of h, of the last row where it is past that. Invocations of a subgroup may
// want it of different modules, so that it cannot be shared as x is.
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
