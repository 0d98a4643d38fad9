// Prelude: f32 ↔ f16 by integer arithmetic, so that every device rounds alike and keeps small
// values (the built-in packing may round down and flush subnormals).

// The f16 nearest to a finite value, ties to even; beyond ±65504 it is cut there.
fn half_bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= 0x477FF000u) { return sign | 0x7BFFu; }
  if (magnitude < 0x38800000u) {
    // Below 2^-14: a multiple of 2^-24. What is under half of that is zero.
    let exponent = magnitude >> 23u;
    if (exponent < 102u) { return sign; }
    let mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    let shift = 126u - exponent;
    let half = (1u << (shift - 1u)) - 1u + ((mantissa >> shift) & 1u);
    return sign | ((mantissa + half) >> shift);
  }
  let rounded = magnitude + 0xFFFu + ((magnitude >> 13u) & 1u);
  return sign | ((rounded - 0x38000000u) >> 13u);
}

// The f32 that an f16 (its low 16 bits) stands for.
fn half_value(bits: u32) -> f32 {
  let sign = (bits & 0x8000u) << 16u;
  let magnitude = bits & 0x7FFFu;
  if (magnitude < 0x400u) {
    return bitcast<f32>(sign | bitcast<u32>(f32(magnitude) * 0x1p-24f));
  }
  return bitcast<f32>(sign | ((magnitude << 13u) + 0x38000000u));
}
