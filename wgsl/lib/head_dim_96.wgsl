// Prelude: size of an attention head. Register arrays need a constant, not an override.

const HEAD_QUADS = 24u;   // D / 4
