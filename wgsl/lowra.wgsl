// lowra — output channels in 1, 2 or 4 bits: w ≈ scale·q + min, blocks of 64 along K (an experiment)
// source: whole rows (rows, K). MEASURE 1: → channels[3·n ..] = squared error of channel n in 1, 2, 4
// bits. MEASURE 0: channels[3·n] = its bits · → words, scales of lib/weights_int4.wgsl, q < 2^bits.
// 1 bit: the means of what lies below and above the block's mean. 2 bits: four even levels over the
// share of the block's range with the least error. 4 bits: sixteen over all of it. In f16, then q.
// Dispatch grid_1d(rows · 64, 64): a workgroup owns a row, an invocation every 64th block.
// Needs a source_* and a half_* prelude. Source: after LowRA, arXiv:2502.08141.

@group(0) @binding(1) var<storage, read_write> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> channels: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  rows: u32,          // in this chunk
  first_row: u32,     // of the source tensor
  columns: u32,       // K
  stride: u32,        // N of the destination, in rows
  offset: u32,        // row of the destination where the tensor starts
  head_dim: u32,      // 0: rows stay in order; else as in lib/into_packed.wgsl
}

struct Fit { scale_bits: u32, minimum_bits: u32, error: f32 }

override MEASURE: u32 = 0;

var<workgroup> shared_errors: array<vec3f, 64>;

fn code(height: f32, step: f32, top: f32) -> f32 {
  if (step == 0.0) { return 0.0; }
  return clamp(floor(height / step + 0.5), 0.0, top);
}

// The squared error of a block on levels that are rounded to f16 first.
fn rounded(start: u32, count: u32, scale: f32, minimum: f32, top: f32) -> Fit {
  let scale_bits = half_bits(scale);
  let minimum_bits = half_bits(minimum);
  let step = half_value(scale_bits);
  let low = half_value(minimum_bits);
  var error = 0.0;
  for (var i = 0u; i < count; i++) {
    let height = source_value(start + i) - low;
    let off = height - step * code(height, step, top);
    error += off * off;
  }
  return Fit(scale_bits, minimum_bits, error);
}

fn fit(start: u32, count: u32, bits: u32) -> Fit {
  var low = source_value(start);
  var high = low;
  var total = low;
  for (var i = 1u; i < count; i++) {
    let value = source_value(start + i);
    low = min(low, value);
    high = max(high, value);
    total += value;
  }
  if (bits == 1u) {
    let mean = total / f32(count);
    var below = vec2f();   // sum and count
    var above = vec2f();
    for (var i = 0u; i < count; i++) {
      let value = source_value(start + i);
      if (value > mean) { above += vec2f(value, 1.0); } else { below += vec2f(value, 1.0); }
    }
    let bottom = below.x / max(below.y, 1.0);
    let top = select(bottom, above.x / max(above.y, 1.0), above.y > 0.0);
    return rounded(start, count, top - bottom, bottom, 1.0);
  }
  if (bits == 4u) { return rounded(start, count, (high - low) / 15.0, low, 15.0); }
  var best = rounded(start, count, (high - low) / 3.0, low, 3.0);
  for (var tenths = 9u; tenths >= 6u; tenths--) {
    let cut = (high - low) * (1.0 - 0.1 * f32(tenths));
    let found = rounded(start, count, (high - low - cut) / 3.0, low + 0.5 * cut, 3.0);
    if (found.error < best.error) { best = found; }
  }
  return best;
}

fn write_block(start: u32, count: u32, first: u32, column: u32, bits: u32) {
  let found = fit(start, count, bits);
  let step = half_value(found.scale_bits);
  let low = half_value(found.minimum_bits);
  let top = f32((1u << bits) - 1u);
  for (var octet = 0u; octet < count / 8u; octet++) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) {
      let q = u32(code(source_value(start + 8u * octet + i) - low, step, top));
      word |= q << (8u * (i & 3u) + i / 4u * 4u);
    }
    words[(first / 8u + octet) * params.stride + column] = word;
  }
  for (var group = 0u; group < count / 32u; group++) {
    scales[(first / 32u + group) * params.stride + column] = found.scale_bits | (found.minimum_bits << 16u);
  }
}

@compute @workgroup_size(64)
fn lowra(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let row = workgroup.y * workgroups.x + workgroup.x;
  let is_mine = row < params.rows;
  var source_row = params.first_row + row;
  if (params.head_dim > 0u) {
    let i = source_row % params.head_dim;
    source_row += (i / 2u) + (i % 2u) * (params.head_dim / 2u) - i;
  }
  let column = params.offset + source_row;
  var errors = vec3f();
  if (is_mine) {
    for (var first = 64u * lane; first < params.columns; first += 64u * 64u) {
      let count = min(64u, params.columns - first);
      let start = row * params.columns + first;
      if (MEASURE > 0u) {
        errors += vec3f(fit(start, count, 1u).error, fit(start, count, 2u).error, fit(start, count, 4u).error);
      } else {
        write_block(start, count, first, column, u32(channels[3u * column]));
      }
    }
  }
  shared_errors[lane] = errors;
  workgroupBarrier();
  for (var stride = 32u; stride > 0u; stride /= 2u) {
    if (lane < stride) { shared_errors[lane] += shared_errors[lane + stride]; }
    workgroupBarrier();
  }
  if (MEASURE > 0u && is_mine && lane == 0u) {
    channels[3u * column] = shared_errors[0].x;
    channels[3u * column + 1u] = shared_errors[0].y;
    channels[3u * column + 2u] = shared_errors[0].z;
  }
}
