// Prelude: random bits for rounding, the same for the same seed, tensor, step and element on every
// device: a counter goes through a hash, so that nothing is kept between steps.
// Source of the hash: lowbias32, github.com/skeeto/hash-prospector (public domain).

fn mix_bits(value: u32) -> u32 {
  var x = value;
  x ^= x >> 16u;
  x *= 0x7FEB352Du;
  x ^= x >> 15u;
  x *= 0x846CA68Bu;
  x ^= x >> 16u;
  return x;
}

// key: of the run and the tensor · step: updates applied so far.
fn random_bits(key: u32, step: f32, element: u32) -> u32 {
  return mix_bits(element ^ mix_bits(key + u32(step) * 0x9E3779B9u));
}

// 0..1, 1 excluded, in steps of 2^-24.
fn uniform_of(bits: u32) -> f32 { return f32(bits >> 8u) * 0x1p-24f; }
