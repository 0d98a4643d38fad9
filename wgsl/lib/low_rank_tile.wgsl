// Prelude: products of four rows with four ranks of A or B, summed over a workgroup in a fixed order
// A kernel brings `fn write_hidden(index: u32, value: f32)`. ROWS is 4, or 1 where there is a single
// row (decoding): the other three are then left out.

override LANES: u32 = 64;   // invocations of a workgroup, which share the contracted columns
override ROWS: u32 = 4;

// Four neighbouring columns of each row.
struct Rows { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f }

var<workgroup> partial: array<mat4x4f, LANES>;

// Where the rows begin; rows past the end repeat the last.
fn row_starts(first: u32, rows: u32, stride: u32) -> vec4u {
  return min(vec4u(first, first + 1u, first + 2u, first + 3u), vec4u(rows - 1u)) * stride;
}

// sum + rows·Aᵀ: column j of the factors is rank j's four columns of A.
fn add_a(sum: Rows, rows: Rows, factors: mat4x4f) -> Rows {
  var total = sum;
  total.r0 += rows.r0 * factors;
  if (ROWS > 1u) {
    total.r1 += rows.r1 * factors;
    total.r2 += rows.r2 * factors;
    total.r3 += rows.r3 * factors;
  }
  return total;
}

// sum + rows·B: column j of the factors is the four ranks of column j.
fn add_b(sum: Rows, rows: Rows, factors: mat4x4f) -> Rows {
  var total = sum;
  total.r0 += factors * rows.r0;
  if (ROWS > 1u) {
    total.r1 += factors * rows.r1;
    total.r2 += factors * rows.r2;
    total.r3 += factors * rows.r3;
  }
  return total;
}

// Add the invocations' sums up and write them: rank j of row i goes to (first + i) · width + column + j.
fn write_sums(sum: Rows, lane: u32, first: u32, rows: u32, width: u32, column: u32) {
  workgroupBarrier();
  partial[lane] = mat4x4f(sum.r0, sum.r1, sum.r2, sum.r3);
  workgroupBarrier();
  for (var element = lane; element < 4u * ROWS; element += LANES) {
    let i = element / 4u;
    let j = element % 4u;
    if (first + i < rows) {
      var total = 0.0;
      for (var other = 0u; other < LANES; other++) { total += partial[other][i][j]; }
      write_hidden((first + i) * width + column + j, total);
    }
  }
}
