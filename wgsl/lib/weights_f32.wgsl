// Prelude: a frozen f32 matrix W (N, K).
// words[k·N + n] holds the bits of one weight of row n. Four rows are one vec4u.
// There are no scales: the binding repeats the words so that all formats bind alike.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

struct Words { lo: array<vec4u, 4>, hi: array<vec4u, 4> }

alias Scales = vec4u;   // not read

struct Octet { lo: vec4f, hi: vec4f }

fn load_words(octet: u32, quad: u32, quads: u32) -> Words {
  let first = 8u * octet * quads + quad;
  return Words(
    array(words[first], words[first + quads], words[first + 2u * quads], words[first + 3u * quads]),
    array(
      words[first + 4u * quads], words[first + 5u * quads],
      words[first + 6u * quads], words[first + 7u * quads],
    ),
  );
}

fn load_scales(octet: u32, quad: u32, quads: u32) -> Scales {
  return scales[0];
}

fn dequantize(packed: Words, group: Scales, row: u32) -> Octet {
  let lo = vec4u(packed.lo[0][row], packed.lo[1][row], packed.lo[2][row], packed.lo[3][row]);
  let hi = vec4u(packed.hi[0][row], packed.hi[1][row], packed.hi[2][row], packed.hi[3][row]);
  return Octet(bitcast<vec4f>(lo), bitcast<vec4f>(hi));
}
