// adapter_bits — the packed form of A and B, from their values in f32
// ŵ = scale·q, q = 2·code − 2^BITS + 1. One bit: scale = mean |w|, q = sign(w), with sign(0) = 1.
// Two bits: |q| = 3 where |w| ≥ 2·scale, else 1; the scale begins at mean |w| / 2 and is FITS times set to
// Σ|w|·|q| / Σq², which is least squares for those q. A row of zeros has scale 0: ŵ is exactly 0.
// The lowest two bits of a scale are cut off, so that 3·scale is exact in f32.
// values: flat f32 → packed (codes and scales; lib/factors_bits.wgsl reads them)
// Dispatch (packed rows, 1, 1): a workgroup owns a row; sums by fixed trees. Needs an adapter_* prelude.
// Source: arXiv:1603.05279 §3 (one bit); Lloyd's iteration, doi:10.1109/TIT.1982.1056489 (two).

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;

const FITS = 2u;

var<workgroup> partial: array<vec2f, WORKGROUP_SIZE>;

// Sum of all invocations' values, in a fixed order; for all of them.
fn total(lane: u32, value: vec2f) -> vec2f {
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

// Σ|w|·|q| and Σq² of a module's columns; |q| is 1 below the threshold, 3 from it on.
fn sums(row: Row, first: u32, stop: u32, threshold: f32, lane: u32) -> vec2f {
  var sum = vec2f();
  for (var n = first + lane; n < stop; n += WORKGROUP_SIZE) {
    let size = abs(values[row.start + n * row.stride]);
    let q = select(1.0, 3.0, size >= threshold);
    sum += vec2f(size * q, q * q);
  }
  return total(lane, sum);
}

fn fitted(row: Row, first: u32, stop: u32, lane: u32) -> f32 {
  if (first >= stop) { return 0.0; }
  let infinity = bitcast<f32>(0x7f7fffffu);
  var sum = sums(row, first, stop, infinity, lane);
  if (BITS == 2u) {
    sum.y *= 2.0;
    for (var fit = 0u; fit < FITS; fit++) { sum = sums(row, first, stop, 2.0 * sum.x / sum.y, lane); }
  }
  return bitcast<f32>(bitcast<u32>(sum.x / sum.y) & 0xfffffffcu);
}

fn code_of(value: f32, scale: f32) -> u32 {
  let is_positive = value >= 0.0;
  if (BITS == 1u) { return select(0u, 1u, is_positive); }
  let is_far = abs(value) >= 2.0 * scale;
  return select(select(1u, 0u, is_far), select(2u, 3u, is_far), is_positive);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn adapter_bits(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  // Phase 1: the scales, module by module.
  let row = row_of(group.x);
  let first_bound = min(row.first_bound, row.columns);
  let second_bound = min(row.second_bound, row.columns);
  let scales = vec3f(
    fitted(row, 0u, first_bound, lane),
    fitted(row, first_bound, second_bound, lane),
    fitted(row, second_bound, row.columns, lane),
  );
  if (lane <= module_of(row, row.columns - 1u)) {
    packed[row.scale + lane * row.scale_stride] = bitcast<u32>(scales[lane]);
  }

  // Phase 2: the codes, a word an invocation.
  let each = 32u / BITS;
  for (var word = lane; word * each < row.columns; word += WORKGROUP_SIZE) {
    var codes = 0u;
    for (var n = word * each; n < min(word * each + each, row.columns); n++) {
      let code = code_of(values[row.start + n * row.stride], scales[module_of(row, n)]);
      codes |= code << (BITS * (n % each));
    }
    packed[row.word + word] = codes;
  }
}
