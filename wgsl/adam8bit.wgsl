// adam8bit — one update of all parameters, moments in eight bits: block-wise dynamic quantization
// Moments m, v as in adamw.wgsl. Those of a block of 256 elements are codes into a map of 256 values,
// scaled by the block's largest magnitude; small tensors keep theirs in f32.
// tables: 256 f32 of the signed map, 256 of the unsigned one, then per block (start, count, place, rate):
// place is where its moments lie: of codes four to a word, or of `small` where its top bit is set;
// rate multiplies the learning rate: LoRA+ has one for B.
// codes (2, coded / 4), scales (2, coded / 256), small (2, kept): first moments, then second ones.
// Clears the gradient; last_good keeps the parameters that gave this step's finite loss.
// Dispatch grid_1d(blocks · 64, 64): a workgroup owns a block, an invocation four elements of it.
// Needs the moments_* prelude. Source: arXiv:2110.02861; bitsandbytes' 8-bit AdamW.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> small: array<f32>;
@group(0) @binding(7) var<storage, read_write> last_good: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

struct Params {
  blocks: u32,
  coded: u32,   // elements in blocks of codes
  kept: u32,    // elements in f32
  beta1: f32,
  beta2: f32,
  rest1: f32,   // 1 − β1
  rest2: f32,   // 1 − β2
  eps: f32,
}

const WORKGROUP_SIZE = 64u;
const FIRST_BLOCK = 512u;   // words of tables before it: the maps
const IS_SMALL = 0x80000000u;

var<workgroup> largest: array<vec2f, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn adam8bit(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  // Phase 1: four elements, their gradients and moments. Elements past the block's end are zeros.
  let block = min(group.y * groups.x + group.x, params.blocks - 1u);
  let is_mine = group.y * groups.x + group.x < params.blocks;
  let entry = FIRST_BLOCK + 4u * block;
  let start = tables[entry] + 4u * lane;
  let count = select(0u, tables[entry + 1u] - min(4u * lane, tables[entry + 1u]), is_mine);
  let is_small = (tables[entry + 2u] & IS_SMALL) != 0u;
  let place = (tables[entry + 2u] & ~IS_SMALL) + 4u * lane;
  let is_applied = update[0] != 0.0;
  var gradient = vec4f();
  var m = vec4f();
  var v = vec4f();
  for (var i = 0u; i < min(count, 4u); i++) {
    gradient[i] = gradients[start + i] * update[1];
    gradients[start + i] = 0.0;
    if (is_small) {
      m[i] = small[place + i];
      v[i] = small[params.kept + place + i];
    }
  }
  let word = place / 4u;
  let scale = place / 256u;
  if (!is_small && count > 0u) {
    m = dequantize(0u, codes[word], scales[scale]);
    v = dequantize(1u, codes[params.coded / 4u + word], scales[params.coded / 256u + scale]);
  }
  m = params.beta1 * m + params.rest1 * gradient;
  v = params.beta2 * v + params.rest2 * gradient * gradient;

  // Phase 2: the block's largest magnitudes, by a fixed tree.
  let is_inside = vec4u(0u, 1u, 2u, 3u) < vec4u(count);
  let near = select(vec4f(), abs(m), is_inside);
  let far = select(vec4f(), v, is_inside);
  largest[lane] = vec2f(max(max(near.x, near.y), max(near.z, near.w)), max(max(far.x, far.y), max(far.z, far.w)));
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { largest[lane] = max(largest[lane], largest[lane + stride]); }
    workgroupBarrier();
  }

  // Phase 3: the parameters, by the moments as they are; then the moments are stored.
  if (!is_applied || count == 0u) { return; }
  let learning_rate = update[2] * bitcast<f32>(tables[entry + 3u]);
  let step = learning_rate * (m / update[4]) / (sqrt(v / update[5]) + params.eps);
  for (var i = 0u; i < min(count, 4u); i++) {
    let before = parameters[start + i];
    last_good[start + i] = before;
    parameters[start + i] = before * (1.0 - learning_rate * update[3]) - step[i];
    if (is_small) {
      small[place + i] = m[i];
      small[params.kept + place + i] = v[i];
    }
  }
  if (is_small) { return; }
  codes[word] = quantize(0u, m, largest[0].x);
  codes[params.coded / 4u + word] = quantize(1u, v, largest[0].y);
  if (lane == 0u) {
    scales[scale] = largest[0].x;
    scales[params.coded / 256u + scale] = largest[0].y;
  }
}
