// @ts-check
/** For messages that are shown elsewhere than where they are written, as in a worker. */

/** Mark a message for the catalogues; whoever shows it calls `t`. @param {string} english */
export const mark = (english) => english;

/** A number as English writes it, like Python's `say`. @param {string|number} value */
const written = (value) => (typeof value === 'number' && Math.abs(value) >= 1000 ? new Intl.NumberFormat('en-US', { maximumFractionDigits: 3 }).format(value) : String(value));

/**
 * A message of a worker as English text. The page is told what it was made of, so that it can
 * translate it when it comes, by whatever way.
 * @param {string} template the message, with `{name}` where values go
 * @param {Record<string, string|number>} [values]
 */
export function say(template, values = {}) {
  const text = template.replace(/\{(\w+)\}/g, (all, name) => written(values[name] ?? all));
  const post = /** @type {any} */ (globalThis).postMessage;
  if (typeof document === 'undefined') post?.({ type: 'words', words: [{ text, template, values, whole: false }] });
  return text;
}
