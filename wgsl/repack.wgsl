// repack — bring GGUF blocks of 32 weights into the engine's layout (lib/weights_*.wgsl)
// blocks: raw bytes of whole rows · → words, scales
// TYPE: 0 Q4_0 · 1 Q4_1 · 2 Q8_0 · 3 F16 · 4 F32 · 5 BF16, which becomes f16.
// Q4_0 d·(q − 8) becomes scale d, min −8·d, which is exact in f16 unless it overflows.
// Needs a half_* and the into_* prelude, which puts rows permuted for interleaved RoPE back.
// Dispatch grid_1d(rows · K/32, 64): one invocation a block of one row.
// Source: ggml-quants.c's block layouts; research in docs/formats.md.

@group(0) @binding(0) var<storage, read> blocks: array<u32>;

override TYPE: u32 = 1;

const Q4_0 = 0u;
const Q4_1 = 1u;
const Q8_0 = 2u;
const F16 = 3u;
const BF16 = 5u;

// Four bytes from any even byte address.
fn load(byte: u32) -> u32 {
  let word = byte >> 2u;
  if ((byte & 2u) == 0u) { return blocks[word]; }
  return (blocks[word] >> 16u) | (blocks[word + 1u] << 16u);
}

// Nibbles of four consecutive bytes of a GGUF block, `high` ones or low ones, as four bytes.
fn nibbles(bytes: u32, high: bool) -> u32 {
  return select(bytes, bytes >> 4u, high) & 0x0F0F0F0Fu;
}

fn repack_int4(source: u32, column: u32, group: u32, head_bytes: u32) {
  for (var octet = 0u; octet < 4u; octet++) {
    // Byte j holds element j low and j + 16 high: octets 0 and 1 are low nibbles, 2 and 3 high.
    let at = source + head_bytes + 8u * (octet & 1u);
    let high = octet >= 2u;
    let word = nibbles(load(at), high) | (nibbles(load(at + 4u), high) << 4u);
    words[(4u * group + octet) * params.stride + column] = word;
  }
}

@compute @workgroup_size(64)
fn repack(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
  let row = index / params.groups;
  if (row >= params.rows) { return; }
  let group = index % params.groups;
  let column = column_of(row);
  let at = group * params.stride + column;
  if (TYPE == Q4_0) {
    let source = index * 18u;
    let d = unpack2x16float(load(source) & 0xFFFFu).x;
    scales[at] = pack2x16float(vec2f(d, -8.0 * d));
    repack_int4(source, column, group, 2u);
  } else if (TYPE == Q4_1) {
    scales[at] = blocks[index * 5u];
    repack_int4(index * 20u, column, group, 4u);
  } else if (TYPE == Q8_0) {
    scales[at] = load(index * 34u) & 0xFFFFu;
    for (var i = 0u; i < 8u; i++) {
      words[(8u * group + i) * params.stride + column] = load(index * 34u + 2u + 4u * i);
    }
  } else if (TYPE == F16) {
    for (var i = 0u; i < 16u; i++) {
      words[(16u * group + i) * params.stride + column] = blocks[index * 16u + i];
    }
  } else if (TYPE == BF16) {
    for (var i = 0u; i < 16u; i++) {
      let pair = blocks[index * 16u + i];
      let low = half_bits(bitcast<f32>(pair << 16u));
      let high = half_bits(bitcast<f32>(pair & 0xFFFF0000u));
      words[(16u * group + i) * params.stride + column] = low | (high << 16u);
    }
  } else {
    for (var i = 0u; i < 32u; i++) {
      words[(32u * group + i) * params.stride + column] = blocks[index * 32u + i];
    }
  }
}
