// @ts-check
/** Which words of two texts differ: the longest common subsequence keeps, the rest is marked. */

/** More pairs of words than this are not compared one by one: what is between the same ends differs. */
const MAX_PAIRS = 9_000_000;

/** @param {string} text the words of a text, without the space between them */
export const wordsOf = (text) => text.match(/\S+/gu) ?? [];

/**
 * Say for each word of two texts whether the other lacks it in its place.
 *
 * Among all ways to keep most words, the one that keeps them earliest in `a`; O(a·b) time and memory.
 * @param {readonly string[]} a
 * @param {readonly string[]} b
 * @returns {[boolean[], boolean[]]} true: differs
 */
export function diffWords(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  /** @param {readonly string[]} words */
  const marks = (words) => words.map((_, index) => index >= start && index < words.length - end);
  const [inA, inB] = [marks(a), marks(b)];
  const rows = a.length - start - end;
  const columns = b.length - start - end;
  if (rows * columns > MAX_PAIRS) return [inA, inB];

  // lengths[i][j]: most words that a[start + i…] and b[start + j…] have in common.
  const stride = columns + 1;
  const lengths = new Uint16Array((rows + 1) * stride);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      const here = i * stride + j;
      lengths[here] = a[start + i] === b[start + j]
        ? (lengths[here + stride + 1] ?? 0) + 1
        : Math.max(lengths[here + stride] ?? 0, lengths[here + 1] ?? 0);
    }
  }
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    const here = i * stride + j;
    if (a[start + i] === b[start + j]) {
      inA[start + i] = inB[start + j] = false;
      i += 1;
      j += 1;
    } else if ((lengths[here + stride] ?? 0) >= (lengths[here + 1] ?? 0)) i += 1;
    else j += 1;
  }
  return [inA, inB];
}
