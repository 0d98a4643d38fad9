// adam8bit_delta — as adamw_delta.wgsl, moments in eight bits: block-wise dynamic quantization
// gradients (size), size a multiple of 256 · tables: the maps, see lib/moments_dynamic.wgsl
// codes (2, size / 4), scales (2, size / 256): first moments, then second ones. Zeros are codes of
// zero where the scale is: nothing has to be written before the first update.
// Dispatch grid_1d(size / 4, 64): a workgroup owns a block of 256, an invocation four of it.
// Needs the moments_* prelude. Source: arXiv:2110.02861; bitsandbytes' 8-bit AdamW.

@group(0) @binding(0) var<storage, read> update: array<f32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

struct Params {
  blocks: u32,   // size / 256
  beta1: f32,
  beta2: f32,
  rest1: f32,    // 1 − β1
  rest2: f32,    // 1 − β2
  eps: f32,
}

const WORKGROUP_SIZE = 64u;

var<workgroup> largest: array<vec2f, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn adam8bit_delta(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = group.y * groups.x + group.x;
  let block = min(index, params.blocks - 1u);
  let word = 64u * block + lane;
  let second_words = 64u * params.blocks;
  let gradient = gradients[word] * update[1];
  var m = dequantize(0u, codes[word], scales[block]);
  var v = dequantize(1u, codes[second_words + word], scales[params.blocks + block]);
  m = params.beta1 * m + params.rest1 * gradient;
  v = params.beta2 * v + params.rest2 * gradient * gradient;
  let near = abs(m);
  largest[lane] = vec2f(max(max(near.x, near.y), max(near.z, near.w)), max(max(v.x, v.y), max(v.z, v.w)));
  workgroupBarrier();
  for (var stride = WORKGROUP_SIZE / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { largest[lane] = max(largest[lane], largest[lane + stride]); }
    workgroupBarrier();
  }
  if (index >= params.blocks || update[0] == 0.0) { return; }
  gradients[word] = update[2] * (m / update[4]) / (sqrt(v / update[5]) + params.eps);
  codes[word] = quantize(0u, m, largest[0].x);
  codes[second_words + word] = quantize(1u, v, largest[0].y);
  if (lane == 0u) {
    scales[block] = largest[0].x;
    scales[params.blocks + block] = largest[0].y;
  }
}
