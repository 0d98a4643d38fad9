// Prelude: codes of moments, four a word, into the 256 values of a map; the shader binds
// tables: 256 f32 of the signed map (0), then 256 of the unsigned one (1).
// Source: arXiv:2110.02861 §2; bitsandbytes' create_dynamic_map.

fn value_of(map: u32, code: u32) -> f32 { return bitcast<f32>(tables[256u * map + code]); }

// Four moments of one word of codes.
fn dequantize(map: u32, word: u32, scale: f32) -> vec4f {
  let code = unpack4xU8(word);
  return scale * vec4f(value_of(map, code.x), value_of(map, code.y), value_of(map, code.z), value_of(map, code.w));
}

// The nearest code to a value of −1..1: how many midpoints between neighbours lie below it.
fn code_of(map: u32, value: f32) -> u32 {
  var code = 0u;
  for (var step = 128u; step > 0u; step /= 2u) {
    let next = code + step;
    if (value > 0.5 * (value_of(map, next - 1u) + value_of(map, next))) { code = next; }
  }
  return code;
}

fn quantize(map: u32, moment: vec4f, scale: f32) -> u32 {
  if (scale == 0.0) { return 0x01010101u * code_of(map, 0.0); }
  let value = moment / scale;
  return pack4xU8(vec4u(
    code_of(map, value.x), code_of(map, value.y), code_of(map, value.z), code_of(map, value.w),
  ));
}
