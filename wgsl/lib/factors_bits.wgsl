// Prelude: how kernels read an adapter's A or B from its packed form (adapter_bits.wgsl writes it)
// value = scale · (2·code − 2^BITS + 1): ±1 with one bit, ±1 and ±3 with two.
// The kernel binds one of them as `var<storage, read> factors: array<Factor>`. A: rows of codes along K,
// then a scale each row. B: rows of Bᵀ, codes along N, then a scale each rank of each module. A row
// begins at a word; the code of column n is at its bits BITS·n. Functions are those of factors_f32.wgsl.

override BITS: u32 = 1;

alias Factor = u32;

fn words_of_row(quads: u32) -> u32 { return (quads * BITS + 7u) / 8u; }

// 2·code − 2^BITS + 1 of columns 4k .. 4k + 3 of a row.
fn levels(row: u32, k: u32, quads: u32) -> vec4f {
  let bit = 4u * BITS * k;
  let word = factors[row * words_of_row(quads) + bit / 32u] >> (bit % 32u);
  let code = (vec4u(word) >> vec4u(0u, BITS, 2u * BITS, 3u * BITS)) & vec4u((1u << BITS) - 1u);
  return vec4f(2u * code) - f32((1u << BITS) - 1u);
}

// Scale number `index` behind the codes of `rows` rows.
fn scale_of(index: u32, rows: u32, quads: u32) -> f32 {
  return bitcast<f32>(factors[rows * words_of_row(quads) + index]);
}

fn a_quad(r: u32, k: u32, quads: u32, ranks: u32) -> vec4f {
  return scale_of(r, ranks, quads) * levels(r, k, quads);
}

fn a_block(r: u32, k: u32, quads: u32, ranks: u32) -> mat4x4f {
  return mat4x4f(
    a_quad(r, k, quads, ranks), a_quad(r + 1u, k, quads, ranks),
    a_quad(r + 2u, k, quads, ranks), a_quad(r + 3u, k, quads, ranks),
  );
}

fn b_quad(r: u32, k: u32, quads: u32, rank: u32, first: u32) -> vec4f {
  return scale_of(first + r, rank, quads) * levels(r, k, quads);
}

fn b_block(r: u32, k: u32, quads: u32, rank: u32, first: u32) -> mat4x4f {
  return transpose(mat4x4f(
    b_quad(r, k, quads, rank, first), b_quad(r + 1u, k, quads, rank, first),
    b_quad(r + 2u, k, quads, rank, first), b_quad(r + 3u, k, quads, rank, first),
  ));
}
