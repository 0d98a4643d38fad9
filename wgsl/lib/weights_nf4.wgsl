// Prelude: a frozen NF4 matrix W (N, K), w = scale·NF4[q], blocks of 64 along K.
// words: as in weights_int4.wgsl. scales: 256 f32 of the dynamic map; then for each 16 blocks along K
// (the last may be fewer) pairs (offset, size), f32, of each 16 rows, and for each block a word of
// four 8-bit codes a quad of rows: scale = offset + size·map[code].
// Source: QLoRA, arXiv:2305.14314.

@group(0) @binding(0) var<storage, read> words: array<vec4u>;
@group(0) @binding(1) var<storage, read> scales: array<vec4u>;

alias Words = vec4u;

alias Scales = vec4f;   // of four rows

struct Octet { lo: vec4f, hi: vec4f }

fn load_words(octet: u32, quad: u32, quads: u32) -> Words {
  return words[octet * quads + quad];
}

fn scale_word(index: u32) -> u32 { return scales[index / 4u][index % 4u]; }

fn scale_value(index: u32) -> f32 { return bitcast<f32>(scale_word(index)); }

fn load_scales(octet: u32, quad: u32, quads: u32) -> Scales {
  let block = octet / 8u;
  let tiles = (quads + 3u) / 4u;
  let base = 256u + block / 16u * (2u * tiles + 16u * quads);
  let pair = base + 2u * (quad / 4u);
  let codes = unpack4xU8(scale_word(base + 2u * tiles + block % 16u * quads + quad));
  let mapped = vec4f(
    scale_value(codes.x), scale_value(codes.y), scale_value(codes.z), scale_value(codes.w),
  );
  return scale_value(pair) + scale_value(pair + 1u) * mapped;
}

// The values of four codes. A tree of selections: tables that are indexed at run time are slow.
fn nf4(codes: vec4u) -> vec4f {
  let odd = (codes & vec4u(1u)) != vec4u();
  let second = (codes & vec4u(2u)) != vec4u();
  let third = (codes & vec4u(4u)) != vec4u();
  let a = select(vec4f(-1.0), vec4f(-0.6961928009986877), odd);
  let b = select(vec4f(-0.5250730514526367), vec4f(-0.39491748809814453), odd);
  let c = select(vec4f(-0.28444138169288635), vec4f(-0.18477343022823334), odd);
  let d = select(vec4f(-0.09105003625154495), vec4f(0.0), odd);
  let e = select(vec4f(0.07958029955625534), vec4f(0.16093020141124725), odd);
  let f = select(vec4f(0.24611230194568634), vec4f(0.33791524171829224), odd);
  let g = select(vec4f(0.44070982933044434), vec4f(0.5626170039176941), odd);
  let h = select(vec4f(0.7229568362236023), vec4f(1.0), odd);
  let low = select(select(a, b, second), select(c, d, second), third);
  let high = select(select(e, f, second), select(g, h, second), third);
  return select(low, high, codes > vec4u(7u));
}

fn dequantize(packed: Words, scale: Scales, row: u32) -> Octet {
  let lo = unpack4xU8(packed[row] & 0x0F0F0F0Fu);
  let hi = unpack4xU8((packed[row] >> 4u) & 0x0F0F0F0Fu);
  return Octet(nf4(lo) * scale[row], nf4(hi) * scale[row]);
}
