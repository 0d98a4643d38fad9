// @ts-check
/**
 * Renders chat templates. A template comes with a model, so it is a stranger's program: here
 * it can reach nothing, and text/chat-template.js ends this worker if it runs too long.
 */

import { Environment, Template } from './vendor/jinja/jinja.mjs';

/** Longest range() and longest text, as in the native host (app/text/chat_template.py). */
const MAX_RANGE = 100_000;
const MAX_TEXT = 4_000_000;

/** Which limit a template ran into, and with how much; text/chat-template.js has the words. @type {{kind: 'step'|'range'|'text', count: number, most: number}|null} */
let over = null;

/** @param {'step'|'range'|'text'} kind @param {number} count @param {number} most @returns {Error} */
function beyond(kind, count, most) {
  over = { kind, count, most };
  return new Error(kind);
}

/**
 * @param {number} start
 * @param {number} [stop]
 * @param {number} [step]
 */
function range(start, stop, step = 1) {
  const [first, last] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw beyond('step', 0, 0);
  const count = Math.max(0, Math.ceil((last - first) / step));
  if (count > MAX_RANGE) throw beyond('range', count, MAX_RANGE);
  return Array.from({ length: count }, (_, index) => first + index * step);
}

// The package declares its own range() in every environment, and refuses a second one.
const set = Environment.prototype.set;
Environment.prototype.set = function (name, value) {
  return set.call(this, name, name === 'range' ? range : value);
};

/** @param {{template: string, context: string}} request */
function render({ template, context }) {
  over = null;
  try {
    const text = new Template(template).render(JSON.parse(context));
    if (text.length > MAX_TEXT) throw beyond('text', text.length, MAX_TEXT);
    return { text };
  } catch (error) {
    if (over) return { over };
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

globalThis.onmessage = ({ data }) => globalThis.postMessage(render(data));
globalThis.postMessage({ ready: true });
