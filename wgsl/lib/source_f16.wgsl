// Prelude: weights to be quantized, stored as f16: element i of consecutive rows, two a word.
// Needs half_exact.wgsl.

@group(0) @binding(0) var<storage, read> source: array<u32>;

fn source_value(element: u32) -> f32 {
  return half_value((source[element >> 1u] >> (16u * (element & 1u))) & 0xFFFFu);
}
