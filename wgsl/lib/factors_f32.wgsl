// Prelude: how kernels read an adapter's A or B, here in f32; see factors_bits.wgsl for the packed form
// The kernel binds one of them as `var<storage, read> factors: array<Factor>`.
// A is (ranks, 4·quads), `ranks` those of all stacked modules; B is (4·quads, rank), rows of all of them.

alias Factor = vec4f;

// A[r, 4k .. 4k + 3]
fn a_quad(r: u32, k: u32, quads: u32, ranks: u32) -> vec4f { return factors[r * quads + k]; }

// Column j is A[r + j, 4k .. 4k + 3].
fn a_block(r: u32, k: u32, quads: u32, ranks: u32) -> mat4x4f {
  let at = r * quads + k;
  return mat4x4f(factors[at], factors[at + quads], factors[at + 2u * quads], factors[at + 3u * quads]);
}

fn b_value(index: u32) -> f32 { return factors[index / 4u][index % 4u]; }

// B[4k .. 4k + 3, r]; the rows' module begins after `first` ranks of the modules before it.
fn b_quad(r: u32, k: u32, quads: u32, rank: u32, first: u32) -> vec4f {
  let at = 4u * k * rank + r;
  return vec4f(b_value(at), b_value(at + rank), b_value(at + 2u * rank), b_value(at + 3u * rank));
}

// Column j is B[4k + j, r .. r + 3]; r and rank are multiples of 4.
fn b_block(r: u32, k: u32, quads: u32, rank: u32, first: u32) -> mat4x4f {
  let stride = rank / 4u;
  let at = 4u * k * stride + r / 4u;
  return mat4x4f(factors[at], factors[at + stride], factors[at + 2u * stride], factors[at + 3u * stride]);
}
