// @ts-check
/**
 * Chat templates for Python: `await loraLab.renderChat(template, context, limit)`. The work
 * is done in a worker of its own, which is ended when the limit has passed.
 */

import { say } from '../messages/mark.js';

/**
 * `over`: the limit that it ran into.
 * @typedef {{text?: string, error?: string, ready?: boolean, over?: {kind: 'step'|'range'|'text', count: number, most: number}}} Answer
 */

const START_LIMIT_MS = 20_000;

/** @type {Worker|null} */
let worker = null;
/** Requests are taken one after the other. @type {Promise<unknown>} */
let last = Promise.resolve();

/** The next message. @param {Worker} from @param {number} limit in ms @returns {Promise<Answer>} */
function answer(from, limit) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ error: say('it ran for more than {seconds} s', { seconds: limit / 1000 }) }), limit);
    from.onmessage = ({ data }) => {
      clearTimeout(timer);
      resolve(data.over ? { error: inWords(data.over) } : data);
    };
    from.onerror = (event) => {
      clearTimeout(timer);
      event.preventDefault?.();
      resolve({ error: event.message || say('the template worker could not start') });
    };
  });
}

/** The limits of template-worker.js in words. @param {NonNullable<Answer['over']>} limit @returns {string} */
function inWords({ kind, count, most }) {
  if (kind === 'step') return say('range() step must not be zero');
  if (kind === 'range') return say('range() of {count} is above {most}', { count, most });
  return say('it made more than {most} characters', { most });
}

function end() {
  worker?.terminate();
  worker = null;
}

/** @returns {Promise<Worker|Answer>} a worker that is up, or why there is none */
async function start() {
  if (worker) return worker;
  worker = new Worker(new URL('../template-worker.js', import.meta.url), { type: 'module' });
  const first = await answer(worker, START_LIMIT_MS);
  if (first.ready) return worker;
  end();
  return { error: first.error ?? say('the template worker could not start') };
}

/**
 * @param {string} template
 * @param {string} context JSON of the template's variables
 * @param {number} limit in ms
 * @returns {Promise<Answer>}
 */
async function render(template, context, limit) {
  const ready = await start();
  if (!('postMessage' in ready)) return ready;
  ready.postMessage({ template, context });
  const rendered = await answer(ready, limit);
  // Whatever went wrong, the next template finds a fresh worker.
  if (rendered.error !== undefined) end();
  return rendered;
}

/**
 * Render a chat template; never rejects.
 * @param {string} template
 * @param {string} context JSON of the template's variables
 * @param {number} limit in ms
 * @returns {Promise<Answer>} {text} or {error}
 */
export function renderChat(template, context, limit) {
  const mine = last.then(() => render(template, context, limit));
  last = mine.catch(() => {});
  return mine;
}

Object.assign((/** @type {any} */ (globalThis).loraLab ??= {}), { renderChat });
