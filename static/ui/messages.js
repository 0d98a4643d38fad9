// @ts-check
/** The one place where errors are shown, and the quiet voice for screen readers. */

import { StudioError } from '../api.js';
import { t } from '../messages/messages.js';
import { state } from '../store.js';
import { button, element, make, setText } from './dom.js';

const ANNOUNCE_EVERY_MS = 5_000;

/**
 * What the error that is shown is about: it goes when that has changed.
 * @typedef {''|'text'|'evaluation'|'chat'} Cause
 */
/** @type {Cause} */
let shown = '';
let shownFor = 0; // the version of the text

/**
 * Show what went wrong and what to do: one sentence, or a list where several things did.
 * @param {string} sentence
 * @param {string[]} [problems]
 * @param {Cause} [cause]
 */
export function showError(sentence, problems = [], cause = '') {
  shown = cause;
  shownFor = state.corpusVersion;
  if (problems.length) element('error-text').replaceChildren(make('ul', {}, ...problems.map((text) => make('li', { text: t(text) }))));
  else setText(element('error-text'), t(sentence));
  element('error').hidden = false;
}

/**
 * Show why something failed. A GPU that went away is told once, by device/lost.js, whatever it took along.
 * @param {unknown} error
 * @param {Cause} [cause] known of some errors anyway
 */
export function showFailure(error, cause = error instanceof StudioError && error.kind === 'CorpusError' ? 'text' : '') {
  if (error instanceof StudioError && error.kind === 'DeviceLostError') return;
  showError(error instanceof Error ? error.message : String(error), error instanceof StudioError ? error.problems : [], cause);
}

/** @param {Cause} [cause] only what is about this, as it was before */
export function clearError(cause) {
  if (cause && (shown !== cause || (cause === 'text' && shownFor === state.corpusVersion))) return;
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
  button('error-dismiss').addEventListener('click', () => clearError());
}
