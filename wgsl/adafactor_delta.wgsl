// adafactor_delta — gradients of a matrix become what Adafactor takes off it
// g ← lr · u / max(1, rms(u)),  u = g / √(row[k]/mean(row) · column[n])
// gradients (K, STRIDE), of which N columns count · rows (K), columns (STRIDE), partials (K) of
// adafactor_squares.wgsl, f32. Where update says skip nothing changes.
// Dispatch (K, 1, 1): a workgroup a row; sums by fixed trees.
// Source: arXiv:1804.04235; matches transformers' Adafactor (no relative step, no parameter scale).

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> columns: array<f32>;
@group(0) @binding(4) var<storage, read> partials: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

struct Params {
  num_rows: u32,      // K
  num_columns: u32,   // N
  stride: u32,
}

const WORKGROUP_SIZE = 64u;

var<workgroup> partial: array<vec2f, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn adafactor_delta(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  var sums = vec2f();
  for (var k = lane; k < params.num_rows; k += WORKGROUP_SIZE) { sums += vec2f(rows[k], partials[k]); }
  partial[lane] = sums;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  if (update[0] == 0.0) { return; }
  let means = partial[0] / f32(params.num_rows);
  let rms = sqrt(means.y / f32(params.num_columns));
  let rate = update[1] * update[2] / max(1.0, rms) * sqrt(means.x / rows[group.x]);
  for (var n = lane; n < params.num_columns; n += WORKGROUP_SIZE) {
    let at = group.x * params.stride + n;
    gradients[at] = rate * gradients[at] / sqrt(columns[n]);
  }
}
