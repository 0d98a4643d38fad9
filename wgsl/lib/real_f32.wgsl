// Prelude: what a tile is staged in. Sums are always f32.

alias Real = f32;
