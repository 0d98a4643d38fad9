// adafactor — one update of all matrices, second moments kept as row and column means only
// s ← β·s + (1 − β)·mean over the long axis of g² + ε,  l ← the same over the short axis
// u = g / √(s/mean(s) · l),  p ← p·(1 − lr·decay) − lr · u / max(1, rms(u)),  β = 1 − t^(−0.8)
// A matrix of an adapter is short (rank) one way and long the other; its element (i, j) lies at
// start + i·short_stride + j·long_stride. tables: per matrix (start, short, long, short_stride,
// long_stride, place, rate); rate multiplies the
// learning rate (LoRA+ has one for B); place is where its short, then its long means lie in `means`.
// Clears the gradient; last_good keeps the parameters that gave this step's finite loss.
// Dispatch (matrices, 1, 1): a workgroup owns a matrix; sums by fixed trees. short ≤ 256.
// Source: arXiv:1804.04235; matches transformers' Adafactor (no relative step, no parameter scale).

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(4) var<storage, read_write> means: array<f32>;
@group(0) @binding(5) var<storage, read_write> last_good: array<f32>;

const WORKGROUP_SIZE = 64u;
const MAX_SHORT = 256u;
const EPS = 1e-30;

struct Matrix {
  start: u32, short: u32, long: u32, short_stride: u32, long_stride: u32, place: u32, rate: f32,
}

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;
var<workgroup> short_means: array<f32, MAX_SHORT>;

fn matrix_of(index: u32) -> Matrix {
  let at = 7u * index;
  return Matrix(
    tables[at], tables[at + 1u], tables[at + 2u], tables[at + 3u], tables[at + 4u], tables[at + 5u],
    bitcast<f32>(tables[at + 6u]),
  );
}

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
fn adafactor(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let matrix = matrix_of(group.x);
  let clip = update[1];
  let beta = 1.0 - pow(update[6], -0.8);
  let is_applied = update[0] != 0.0;

  // Phase 1: means along the long axis, one for each short index.
  for (var i = 0u; i < matrix.short; i++) {
    let row = matrix.start + i * matrix.short_stride;
    var sum = 0.0;
    for (var j = lane; j < matrix.long; j += WORKGROUP_SIZE) {
      let g = clip * gradients[row + j * matrix.long_stride];
      sum += g * g + EPS;
    }
    let mean = total(lane, sum) / f32(matrix.long);
    if (lane == 0u) { short_means[i] = beta * means[matrix.place + i] + (1.0 - beta) * mean; }
  }
  workgroupBarrier();
  var mean_of_all = 0.0;
  for (var i = 0u; i < matrix.short; i++) { mean_of_all += short_means[i]; }
  mean_of_all /= f32(matrix.short);

  // Phase 2: means along the short axis, and the root mean square of the update.
  var squares = 0.0;
  let long_place = matrix.place + matrix.short;
  for (var j = lane; j < matrix.long; j += WORKGROUP_SIZE) {
    let column = matrix.start + j * matrix.long_stride;
    var sum = 0.0;
    var scaled = 0.0;
    for (var i = 0u; i < matrix.short; i++) {
      let g = clip * gradients[column + i * matrix.short_stride];
      sum += g * g + EPS;
      scaled += g * g * (mean_of_all / short_means[i]);
    }
    let mean = beta * means[long_place + j] + (1.0 - beta) * sum / f32(matrix.short);
    if (is_applied) { means[long_place + j] = mean; }
    squares += scaled / mean;
  }
  let rms = sqrt(total(lane, squares) / f32(matrix.short * matrix.long));

  // Phase 3: each invocation updates the columns whose means it made.
  let learning_rate = update[2] * matrix.rate;
  let rate = learning_rate / max(1.0, rms);
  for (var j = lane; j < matrix.long; j += WORKGROUP_SIZE) {
    let column = matrix.start + j * matrix.long_stride;
    let near = inverseSqrt(means[long_place + j]);
    for (var i = 0u; i < matrix.short; i++) {
      let at = column + i * matrix.short_stride;
      let g = clip * gradients[at];
      gradients[at] = 0.0;
      if (!is_applied) { continue; }
      let before = parameters[at];
      last_good[at] = before;
      let step = g * near * inverseSqrt(short_means[i] / mean_of_all);
      parameters[at] = before * (1.0 - learning_rate * update[3]) - rate * step;
    }
  }
  if (is_applied) {
    for (var i = lane; i < matrix.short; i += WORKGROUP_SIZE) { means[matrix.place + i] = short_means[i]; }
  }
}
