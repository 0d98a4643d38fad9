// @ts-check
/**
 * Renders chat templates. A template comes with a model, so it is a stranger's program: here
 * it can reach nothing, and text/chat-template.js ends this worker if it runs too long.
 */

import { Environment, Template } from './vendor/jinja/jinja.mjs';

/** Longest range() and longest text, as in the native host (app/text/chat_template.py). */
const MAX_RANGE = 100_000;
const MAX_TEXT = 4_000_000;

/**
 * @param {number} start
 * @param {number} [stop]
 * @param {number} [step]
 */
function range(start, stop, step = 1) {
  const [first, last] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw new Error('range() step must not be zero');
  const count = Math.max(0, Math.ceil((last - first) / step));
  if (count > MAX_RANGE) throw new Error(`range() of ${count} is above ${MAX_RANGE}`);
  return Array.from({ length: count }, (_, index) => first + index * step);
}

// The package declares its own range() in every environment, and refuses a second one.
const set = Environment.prototype.set;
Environment.prototype.set = function (name, value) {
  return set.call(this, name, name === 'range' ? range : value);
};

/** @param {{template: string, context: string}} request */
function render({ template, context }) {
  try {
    const text = new Template(template).render(JSON.parse(context));
    if (text.length > MAX_TEXT) return { error: `it made more than ${MAX_TEXT} characters` };
    return { text };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

globalThis.onmessage = ({ data }) => globalThis.postMessage(render(data));
globalThis.postMessage({ ready: true });
