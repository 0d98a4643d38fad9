// Prelude: weights to be quantized, stored as bf16 (the upper half of an f32), two a word.

@group(0) @binding(0) var<storage, read> source: array<u32>;

fn source_value(element: u32) -> f32 {
  let pair = source[element >> 1u];
  return bitcast<f32>(select(pair << 16u, pair & 0xFFFF0000u, (element & 1u) != 0u));
}
