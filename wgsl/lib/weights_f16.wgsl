// Prelude: a frozen f16 matrix W (N, K), read without shader-f16.
// words[(k/2)·N + n] holds two weights of row n, low half first. Four rows are one vec4u.
// There are no scales: the binding repeats the words so that all formats bind alike.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

struct Words { a: vec4u, b: vec4u, c: vec4u, d: vec4u }

alias Scales = vec4u;   // not read

struct Octet { lo: vec4f, hi: vec4f }

fn load_words(octet: u32, quad: u32, quads: u32) -> Words {
  let first = 4u * octet * quads + quad;
  return Words(
    words[first], words[first + quads], words[first + 2u * quads], words[first + 3u * quads],
  );
}

fn load_scales(octet: u32, quad: u32, quads: u32) -> Scales {
  return scales[0];
}

fn dequantize(packed: Words, group: Scales, row: u32) -> Octet {
  return Octet(
    vec4f(unpack2x16float(packed.a[row]), unpack2x16float(packed.b[row])),
    vec4f(unpack2x16float(packed.c[row]), unpack2x16float(packed.d[row])),
  );
}
