// adafactor_squares — partials[k] = Σ over n of u²,  u = g / √(row[k]/mean(row) · column[n])
// gradients (K, STRIDE), of which N columns count · rows (K), columns (STRIDE) → partials (K), f32
// Dispatch (K, 1, 1): a workgroup a row; sums by fixed trees. Source: arXiv:1804.04235.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> columns: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

struct Params {
  num_rows: u32,      // K
  num_columns: u32,   // N
  stride: u32,
}

const WORKGROUP_SIZE = 64u;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

// Sum of all invocations' values, in a fixed order; for all of them.
fn total(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn adafactor_squares(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  var sum = 0.0;
  for (var k = lane; k < params.num_rows; k += WORKGROUP_SIZE) { sum += rows[k]; }
  let share = total(lane, sum) / f32(params.num_rows) / rows[group.x];
  sum = 0.0;
  for (var n = lane; n < params.num_columns; n += WORKGROUP_SIZE) {
    let g = update[1] * gradients[group.x * params.stride + n];
    sum += g * g * share / columns[n];
  }
  sum = total(lane, sum);
  if (lane == 0u) { partials[group.x] = sum; }
}
