// Prelude: what a tile is staged in. Sums are always f32. Needs shader-f16, and to come first.
enable f16;

alias Real = f16;
