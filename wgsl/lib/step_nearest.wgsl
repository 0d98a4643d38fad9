// Prelude: q of 0..top nearest to height / step; halfway between two, the upper. The division only
// proposes it: products that f32 holds exactly decide, so that every device finds the same.

fn nearest_step(height: f32, step: f32, top: f32) -> u32 {
  if (step == 0.0) { return 0u; }
  var q = floor(height / step + 0.5);
  if (height < (q - 0.5) * step) { q -= 1.0; }
  if (height >= (q + 0.5) * step) { q += 1.0; }
  return u32(clamp(q, 0.0, top));
}
