// @ts-check
/** Which of very many values to draw, so that the picture stays the same. */

/**
 * Indices of values to draw: all where they are few, else of each stretch the least and the
 * greatest, so that no spike is lost. A stretch of gaps (NaN) keeps one of them.
 * @param {number[]} values
 * @param {number} from first index
 * @param {number} to index after the last
 * @param {number} most stretches; at most twice as many indices come back
 * @returns {number[]} ascending
 */
export function pick(values, from, to, most) {
  const picked = [];
  if (to - from <= 2 * most) {
    for (let index = from; index < to; index += 1) picked.push(index);
    return picked;
  }
  const width = (to - from) / most;
  for (let stretch = 0, start = from; stretch < most; stretch += 1) {
    const end = stretch === most - 1 ? to : Math.floor(from + (stretch + 1) * width);
    let least = -1, greatest = -1;
    for (let index = start; index < end; index += 1) {
      const value = values[index];
      if (Number.isNaN(value)) continue;
      if (least < 0 || value < values[least]) least = index;
      if (greatest < 0 || value > values[greatest]) greatest = index;
    }
    if (least < 0) picked.push(start);
    else if (least === greatest) picked.push(least);
    else picked.push(Math.min(least, greatest), Math.max(least, greatest));
    start = end;
  }
  return picked;
}

/**
 * The indices of ascending `x` that lie in a range, and one more on either side.
 * @param {number[]} x
 * @param {[number, number]} range
 * @returns {[number, number]} first, and the one after the last
 */
export function within(x, [low, high]) {
  let from = 0, to = x.length;
  for (let end = x.length; from < end;) {
    const middle = (from + end) >> 1;
    if (x[middle] < low) from = middle + 1;
    else end = middle;
  }
  for (let start = from; start < to;) {
    const middle = (start + to) >> 1;
    if (x[middle] <= high) start = middle + 1;
    else to = middle;
  }
  return [Math.max(0, from - 1), Math.min(x.length, to + 1)];
}
