// Prelude: weights to be quantized, stored as f32: element i of consecutive rows.

@group(0) @binding(0) var<storage, read> source: array<u32>;

fn source_value(element: u32) -> f32 { return bitcast<f32>(source[element]); }
