// Prelude: what the kernels of dk and dv bind.
// positions, qkv, logsumexp as in attention · do (B·S, H·D) · delta (B·S, H) from the kernel of queries
// → the k and v columns of dqkv, f32
// start + position of a query is its index in its sequence: queries before a key do not see it.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> d_o: array<vec4f>;
@group(0) @binding(3) var<storage, read> logsumexp: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4f>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

struct Params {
  queries: u32,          // S
  heads: u32,            // H
  heads_per_key: u32,    // H / HK
  stride: u32,           // vec4s of a row of qkv
  k_offset: u32,
  v_offset: u32,
  scale: f32,            // 1/√D
}

override HAS_STARTS: u32 = 0;   // else sequences are not divided and any array is bound as starts

// The first and the last key of its sequence that the query of a row sees.
fn first_visible(row: u32) -> u32 { return select(0u, starts[row], HAS_STARTS == 1u); }

fn last_visible(row: u32) -> u32 { return first_visible(row) + positions[row]; }
