// quantize_nf4 — w ≈ scale·NF4[q], blocks of 64 along K, scales in 8 bits, into lib/weights_nf4.wgsl
// source: whole rows (rows, K) · scales starts with the 256 values of the dynamic map · → words, scales
// scale = max|w| of the block; q = the nearest of the 16 values to w / scale. Of a tile of 16 rows × 16
// blocks the scales become offset + size·map[code]: offset is their mean, size the largest distance.
// Dispatch (⌈rows/16⌉, ⌈K/64/16⌉, 1): a workgroup owns a tile, an invocation a block of one row.
// Needs a source_* and a half_* prelude. Every result is exact: there is no division.
// Rows that only pad the matrix get the code of zero. Source: QLoRA, arXiv:2305.14314.

@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,            // in this chunk; whole heads where head_dim is not 0
  columns: u32,         // K, a multiple of 32
  blocks: u32,          // ⌈K / 64⌉
  stride: u32,          // N of the destination, in rows
  offset: u32,          // row of the destination where this chunk starts, a multiple of 16
  head_dim: u32,        // 0: rows stay in order; else the inverse of what lib/into_packed.wgsl does
  last_row_share: f32,  // 1 / rows of the last tile
  last_block_share: f32,
}

const MAP = 256u;
const ZEROS = 0x77777777u;

// Halfway between neighbours of the 16 values.
const BELOW = vec4f(-0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544);
const LOW = vec4f(-0.23460740596055984, -0.13791173323988914, -0.045525018125772476, 0.03979014977812767);
const HIGH = vec4f(0.1202552504837513, 0.2035212516784668, 0.2920137718319893, 0.3893125355243683);
const ABOVE = vec3f(0.5016634166240692, 0.6427869200706482, 0.8614784181118011);

var<workgroup> shared_values: array<f32, 256>;
var<workgroup> shared_codes: array<u32, 256>;

// How many of the 15 bounds lie below the value.
fn code(value: f32, largest: f32) -> u32 {
  if (largest == 0.0) { return 7u; }
  let four = select(vec4u(), vec4u(1u), vec4f(value) > BELOW * largest)
    + select(vec4u(), vec4u(1u), vec4f(value) > LOW * largest)
    + select(vec4u(), vec4u(1u), vec4f(value) > HIGH * largest);
  let three = select(vec3u(), vec3u(1u), vec3f(value) > ABOVE * largest);
  return four.x + four.y + four.z + four.w + three.x + three.y + three.z;
}

fn map_value(index: u32) -> f32 { return bitcast<f32>(scales[index]); }

// The nearest code to distance / size: how many midpoints between neighbours lie below it.
fn map_code(distance: f32, size: f32) -> u32 {
  var code = 0u;
  for (var step = 128u; step > 0u; step /= 2u) {
    let next = code + step;
    let middle = 0.5 * (map_value(next - 1u) + map_value(next));
    if (distance > middle * size) { code = next; }
  }
  return code;
}

@compute @workgroup_size(256)
fn quantize_nf4(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) tile: vec3u) {
  // Phase 1: the words of a block.
  let row = 16u * tile.x + lane % 16u;
  let block = 16u * tile.y + lane / 16u;
  let is_inside = row < params.rows && block < params.blocks;
  var source_row = row;
  if (params.head_dim > 0u) {
    let i = row % params.head_dim;
    let half = params.head_dim / 2u;
    source_row += select(2u * i, 2u * (i - half) + 1u, i >= half) - i;
  }
  let start = source_row * params.columns + 64u * block;
  let count = select(0u, min(64u, params.columns - 64u * block), is_inside);
  var largest = 0.0;
  for (var i = 0u; i < count; i++) { largest = max(largest, abs(source_value(start + i))); }
  let column = params.offset + row;
  for (var octet = 0u; octet < count / 8u; octet++) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) {
      let q = code(source_value(start + 8u * octet + i), largest);
      word |= q << (8u * (i & 3u) + i / 4u * 4u);
    }
    words[(8u * block + octet) * params.stride + column] = word;
  }
  if (row >= params.rows && column < params.stride && block < params.blocks) {
    for (var octet = 8u * block; octet < min(8u * block + 8u, params.columns / 8u); octet++) {
      words[octet * params.stride + column] = ZEROS;
    }
  }

  // Phase 2: mean and spread of the tile's scales, by a fixed tree.
  shared_values[lane] = largest;
  workgroupBarrier();
  for (var stride = 128u; stride > 0u; stride /= 2u) {
    if (lane < stride) { shared_values[lane] += shared_values[lane + stride]; }
    workgroupBarrier();
  }
  let row_share = select(0.0625, params.last_row_share, 16u * tile.x + 16u > params.rows);
  let block_share = select(0.0625, params.last_block_share, 16u * tile.y + 16u > params.blocks);
  let mean = shared_values[0] * row_share * block_share;
  workgroupBarrier();
  let distance = select(0.0, largest - mean, is_inside);
  shared_values[lane] = abs(distance);
  workgroupBarrier();
  for (var stride = 128u; stride > 0u; stride /= 2u) {
    if (lane < stride) { shared_values[lane] = max(shared_values[lane], shared_values[lane + stride]); }
    workgroupBarrier();
  }
  let size = shared_values[0];
  shared_codes[lane] = map_code(distance, size);
  workgroupBarrier();

  // Phase 3: where lib/weights_nf4.wgsl looks for them, the codes of four rows a word.
  let quads = params.stride / 4u;
  let tiles = (quads + 3u) / 4u;
  let base = MAP + tile.y * (2u * tiles + 16u * quads);
  let row_tile = params.offset / 16u + tile.x;
  let quad = 4u * row_tile + lane % 4u;
  let part = lane / 4u;   // of 16 blocks
  if (lane < 64u && quad < quads && 16u * tile.y + part < params.blocks) {
    let at = 16u * part + 4u * (lane % 4u);
    scales[base + 2u * tiles + part * quads + quad] = shared_codes[at] | (shared_codes[at + 1u] << 8u)
      | (shared_codes[at + 2u] << 16u) | (shared_codes[at + 3u] << 24u);
  }
  if (lane == 0u) {
    scales[base + 2u * row_tile] = bitcast<u32>(mean);
    scales[base + 2u * row_tile + 1u] = bitcast<u32>(size);
  }
}
