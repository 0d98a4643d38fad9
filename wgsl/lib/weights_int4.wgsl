// Prelude: a frozen INT4 matrix W (N, K), w = scale·q + min, groups of 32 along K.
// words[(k/8)·N + n] holds eight weights of row n: byte i has element i in its low nibble and
// element 4 + i in its high one, so that one mask and one unpack give four weights.
// scales[(k/32)·N + n] holds scale and min as two f16. Four rows (a quad) are one vec4u.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

alias Words = vec4u;

struct Scales { scale: vec4f, minimum: vec4f }   // of four rows

struct Octet { lo: vec4f, hi: vec4f }

fn load_words(octet: u32, quad: u32, quads: u32) -> Words {
  return words[octet * quads + quad];
}

fn load_scales(octet: u32, quad: u32, quads: u32) -> Scales {
  let packed = scales[(octet >> 2u) * quads + quad];
  let first = unpack2x16float(packed.x);
  let second = unpack2x16float(packed.y);
  let third = unpack2x16float(packed.z);
  let fourth = unpack2x16float(packed.w);
  return Scales(
    vec4f(first.x, second.x, third.x, fourth.x), vec4f(first.y, second.y, third.y, fourth.y),
  );
}

fn dequantize(packed: Words, group: Scales, row: u32) -> Octet {
  let scale = group.scale[row];
  let minimum = group.minimum[row];
  let lo = vec4f(unpack4xU8(packed[row] & 0x0F0F0F0Fu));
  let hi = vec4f(unpack4xU8((packed[row] >> 4u) & 0x0F0F0F0Fu));
  return Octet(lo * scale + minimum, hi * scale + minimum);
}
