// Prelude: what the gradient through a product binds after the matrix, and how it is stored.
// dy (M, N) · g (M, R) = scaling·dY·B · factors: A (R, K) → dx (M, K), f32
// R counts the ranks of all stacked modules.

@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> factors: array<Factor>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,    // N / 4
  octets: u32,   // K / 8
  ranks: u32,    // 0: no adapter
}

fn read_row(index: u32) -> vec4f { return dy[index]; }

fn read_value(index: u32) -> f32 { return g[index]; }

// One element of a row of g, of the last row where it is past that.
fn load_g(row: u32, column: u32) -> f32 {
  return g[min(row, params.rows - 1u) * params.ranks + column];
}

// A[r, 4·quad .. 4·quad + 3]
fn load_a(r: u32, quad: u32) -> vec4f { return a_quad(r, quad, 2u * params.octets, params.ranks); }

// Four columns of a row; `store` writes eight.
fn store_quad(row: u32, column: u32, value: vec4f) {
  if (row >= params.rows || column >= 2u * params.octets) { return; }
  dx[2u * row * params.octets + column] = value;
}

fn store(row: u32, octet: u32, lo: vec4f, hi: vec4f) {
  if (row >= params.rows || octet >= params.octets) { return; }
  let index = 2u * (row * params.octets + octet);
  dx[index] = lo;
  dx[index + 1u] = hi;
}
