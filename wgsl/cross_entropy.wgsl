// cross_entropy — loss = (logsumexp(z) − z[target]) · normalizer, and in place
// z ← (softmax(z) − onehot(target)) · normalizer, the gradient of the loss
// logits (rows, STRIDE), of which V columns count · targets (all rows), negative = ignored
// scale[0] = normalizer, 1 / predicted tokens of the step → losses (all rows), f32
// Dispatch (rows, 1, 1): one workgroup per row; sums by a fixed tree. Ignored rows give zeros.
// Where no gradient is wanted (evaluation) the logits are left as they are.

@group(0) @binding(0) var<storage, read> targets: array<i32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  columns: u32,         // V
  stride: u32,
  first_row: u32,       // of targets and losses
  wants_gradient: u32,
}

const WORKGROUP_SIZE = 128u;
const LOWEST = -3.4e38;   // WGSL may assume that there are no infinities

var<workgroup> maxima: array<f32, WORKGROUP_SIZE>;
var<workgroup> sums: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn cross_entropy(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: the largest logit.
  let row = group.x;
  let start = row * params.stride;
  var largest = LOWEST;
  for (var column = lane; column < params.columns; column += WORKGROUP_SIZE) {
    largest = max(largest, logits[start + column]);
  }
  maxima[lane] = largest;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { maxima[lane] = max(maxima[lane], maxima[lane + stride]); }
    workgroupBarrier();
  }

  // Phase 2: Σ e^(z − max).
  let shift = maxima[0];
  var sum = 0.0;
  for (var column = lane; column < params.columns; column += WORKGROUP_SIZE) {
    sum += exp(logits[start + column] - shift);
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { sums[lane] += sums[lane + stride]; }
    workgroupBarrier();
  }

  // Phase 3: the loss, before its logit is overwritten.
  let target_id = targets[params.first_row + row];
  let is_counted = target_id >= 0;
  let weight = select(0.0, scale[0], is_counted);
  let total = sums[0];
  if (lane == 0u) {
    let logit = logits[start + u32(max(target_id, 0))];
    losses[params.first_row + row] = weight * (log(total) + shift - logit);
  }
  workgroupBarrier();
  storageBarrier();
  if (params.wants_gradient == 0u) { return; }

  // Phase 4: the gradient.
  for (var column = lane; column < params.stride; column += WORKGROUP_SIZE) {
    var share = 0.0;
    if (column < params.columns) {
      share = exp(logits[start + column] - shift) / total;
      if (i32(column) == target_id) { share -= 1.0; }
    }
    logits[start + column] = weight * share;
  }
}
