// Prelude: a frozen INT8 matrix W (N, K), w = scale·q + min, q in −128..127, groups of 32 along K.
// words[(k/4)·N + n] holds four weights of row n, lowest byte first.
// scales[(k/32)·N + n] holds scale and min as two f16. Four rows (a quad) are one vec4u.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

struct Words { lo: vec4u, hi: vec4u }

struct Scales { scale: vec4f, minimum: vec4f }   // of four rows

struct Octet { lo: vec4f, hi: vec4f }

fn load_words(octet: u32, quad: u32, quads: u32) -> Words {
  let first = 2u * octet * quads + quad;
  return Words(words[first], words[first + quads]);
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
  return Octet(
    vec4f(unpack4xI8(packed.lo[row])) * scale + minimum,
    vec4f(unpack4xI8(packed.hi[row])) * scale + minimum,
  );
}
