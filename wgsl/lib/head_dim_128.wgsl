// Prelude: size of an attention head. Register arrays need a constant, not an override.

const HEAD_QUADS = 32u;   // D / 4
