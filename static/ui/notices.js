// @ts-check
/** Messages that stay until they are acted on: not errors, and never a reason to wait. */

import { t } from '../messages/messages.js';
import { element, make } from './dom.js';

/**
 * @typedef {object} Action
 * @property {string} label
 * @property {() => void} act
 */

/** @param {string} key */
const find = (key) => [...element('notices').children].find((node) => node.getAttribute('data-key') === key);

/** @param {string} key */
export function clearNotice(key) {
  find(key)?.remove();
}

/**
 * Show a sentence, in the place of the one with the same key.
 * @param {string} key
 * @param {string} text
 * @param {{actions?: Action[], canDismiss?: boolean}} [options]
 */
export function showNotice(key, text, { actions = [], canDismiss = true } = {}) {
  const node = make('div', { class: 'notice info', 'data-key': key, 'data-testid': `notice-${key}` }, make('p', { text }));
  for (const { label, act } of actions) {
    const press = make('button', { type: 'button', text: label });
    press.addEventListener('click', act);
    node.append(press);
  }
  if (canDismiss) {
    const close = make('button', { type: 'button', class: 'x', 'aria-label': t('Dismiss the message') });
    close.addEventListener('click', () => node.remove());
    node.append(close);
  }
  const former = find(key);
  if (former) former.replaceWith(node);
  else element('notices').append(node);
}
