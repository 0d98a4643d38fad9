// quantize_rows — x ≈ scale·q in eight bits, a scale for each 32 elements of a row
// x (M, K) → codes (M, K/4) of four q in a word, lowest byte first · scales (M, K/32) of scale, Σ q
// scale = max|x| / 127; q = x·127/max|x| to the nearest integer, ties to the even one.
// A group below SMALLEST counts as zeros; one with NaN or infinity gets such a scale: nothing hides it.
// Dispatch ⌈M·K/32 / 64⌉: an invocation owns a group.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> codes: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> scales: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params { groups: u32 }   // M·K / 32

const SMALLEST = 1e-36;   // 127 / max|x| has to be finite

// Bits of magnitudes are ordered as the magnitudes are, infinity and NaN above the finite.
fn largest(value: vec4f) -> u32 {
  let bits = bitcast<vec4u>(value) & vec4u(0x7FFFFFFFu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

fn quantize(value: vec4f, inverse: f32) -> vec4i { return vec4i(round(value * inverse)); }

@compute @workgroup_size(64)
fn quantize_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.groups) { return; }
  let first = 8u * index;
  let x0 = x[first]; let x1 = x[first + 1u]; let x2 = x[first + 2u]; let x3 = x[first + 3u];
  let x4 = x[first + 4u]; let x5 = x[first + 5u]; let x6 = x[first + 6u]; let x7 = x[first + 7u];
  let peak = bitcast<f32>(max(
    max(max(largest(x0), largest(x1)), max(largest(x2), largest(x3))),
    max(max(largest(x4), largest(x5)), max(largest(x6), largest(x7))),
  ));
  let is_zero = peak < SMALLEST;
  let inverse = select(127.0 / peak, 0.0, is_zero);
  let q0 = quantize(x0, inverse); let q1 = quantize(x1, inverse);
  let q2 = quantize(x2, inverse); let q3 = quantize(x3, inverse);
  let q4 = quantize(x4, inverse); let q5 = quantize(x5, inverse);
  let q6 = quantize(x6, inverse); let q7 = quantize(x7, inverse);
  let sums = (q0 + q1) + (q2 + q3) + (q4 + q5) + (q6 + q7);
  codes[2u * index] = vec4u(pack4xI8(q0), pack4xI8(q1), pack4xI8(q2), pack4xI8(q3));
  codes[2u * index + 1u] = vec4u(pack4xI8(q4), pack4xI8(q5), pack4xI8(q6), pack4xI8(q7));
  scales[index] = vec2f(select(peak / 127.0, 0.0, is_zero), f32(sums.x + sums.y + sums.z + sums.w));
}
