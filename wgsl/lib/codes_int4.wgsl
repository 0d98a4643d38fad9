// Prelude: the integers of a frozen INT4 matrix, w = scale·q + min, four to a word as dot4I8Packed
// takes them. The layout is that of weights_int4.wgsl: a word's low nibbles are elements 0–3 of an
// octet and its high ones 4–7, so that masks alone give both.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

alias Codes = array<vec4u, 8>;   // 32 elements along K of four rows: word i has elements 4·i …

fn load_codes(group: u32, quad: u32, quads: u32) -> Codes {
  let first = 4u * group * quads + quad;
  let w0 = words[first];
  let w1 = words[first + quads];
  let w2 = words[first + 2u * quads];
  let w3 = words[first + 3u * quads];
  let low = vec4u(0x0F0F0F0Fu);
  let four = vec4u(4u);
  return Codes(
    w0 & low, (w0 >> four) & low, w1 & low, (w1 >> four) & low,
    w2 & low, (w2 >> four) & low, w3 & low, (w3 >> four) & low,
  );
}

// Word `word` of a group of four rows, for those who share the work of loading it.
fn load_code(group: u32, word: u32, quad: u32, quads: u32) -> vec4u {
  let packed = words[(4u * group + word / 2u) * quads + quad];
  return (packed >> vec4u(4u * (word % 2u))) & vec4u(0x0F0F0F0Fu);
}
