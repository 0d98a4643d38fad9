// Prelude: whole rows of a tensor on their way into a packed matrix (lib/weights_*.wgsl), a group of 32 an
// invocation. Rows of a llama GGUF's q and k are permuted for interleaved RoPE; where head_dim is not
// 0 they are put back in HuggingFace order: pair (2i, 2i + 1) of a head becomes (i, i + D/2).

@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,          // in this chunk
  first_row: u32,     // of the source tensor
  groups: u32,        // K / 32
  stride: u32,        // N of the destination, in rows
  offset: u32,        // row of the destination where the tensor starts
  head_dim: u32,      // 0: rows stay in order
}

// Where in the destination a row of the chunk lies.
fn column_of(row: u32) -> u32 {
  var source_row = params.first_row + row;
  if (params.head_dim > 0u) {
    let i = source_row % params.head_dim;
    source_row += (i / 2u) + (i % 2u) * (params.head_dim / 2u) - i;
  }
  return params.offset + source_row;
}
