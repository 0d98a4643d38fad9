// @ts-check
/** The one place where errors are shown, and the quiet voice for screen readers. */

import { StudioError } from '../api.js';
import { t } from '../messages/messages.js';
import { button, element, make, setText } from './dom.js';

const ANNOUNCE_EVERY_MS = 5_000;

/**
 * Show what went wrong and what to do: one sentence, or a list where several things did.
 * @param {string} sentence
 * @param {string[]} [problems]
 */
export function showError(sentence, problems = []) {
  if (problems.length) element('error-text').replaceChildren(make('ul', {}, ...problems.map((text) => make('li', { text: t(text) }))));
  else setText(element('error-text'), t(sentence));
  element('error').hidden = false;
}

/**
 * Show why something failed. A GPU that went away is told once, by device/lost.js, whatever it took along.
 * @param {unknown} error
 */
export function showFailure(error) {
  if (error instanceof StudioError && error.kind === 'DeviceLostError') return;
  showError(error instanceof Error ? error.message : String(error), error instanceof StudioError ? error.problems : []);
}

export function clearError() {
  element('error').hidden = true;
  setText(element('error-text'), '');
}

let spokenAt = -ANNOUNCE_EVERY_MS;
let pending = '';
let timer = 0;

/**
 * Say something to screen readers, at most every five seconds; the latest wins.
 * @param {string} sentence
 */
export function announce(sentence) {
  pending = sentence;
  if (timer) return;
  const wait = Math.max(0, spokenAt + ANNOUNCE_EVERY_MS - performance.now());
  timer = setTimeout(() => {
    timer = 0;
    spokenAt = performance.now();
    setText(element('announce'), pending);
  }, wait);
}

export function mountMessages() {
  button('error-dismiss').addEventListener('click', clearError);
}
