// Prelude: the integers of a frozen INT8 matrix, w = scale·q + min, four to a word as dot4I8Packed
// takes them. The layout is that of weights_int8.wgsl.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

alias Codes = array<vec4u, 8>;   // 32 elements along K of four rows: word i has elements 4·i …

fn load_codes(group: u32, quad: u32, quads: u32) -> Codes {
  let first = 8u * group * quads + quad;
  return Codes(
    words[first], words[first + quads], words[first + 2u * quads], words[first + 3u * quads],
    words[first + 4u * quads], words[first + 5u * quads],
    words[first + 6u * quads], words[first + 7u * quads],
  );
}

// Word `word` of a group of four rows, for those who share the work of loading it.
fn load_code(group: u32, word: u32, quad: u32, quads: u32) -> vec4u {
  return words[(8u * group + word) * quads + quad];
}
