// @ts-check
/** Messages that stay until they are acted on: not errors, and never a reason to wait. */

import { t } from '../messages/messages.js';
import { element, make, textarea } from './dom.js';

/**
 * @typedef {object} Action
 * @property {string} label
 * @property {() => void} act
 */

/** @param {string} key */
const find = (key) => [...element('notices').children].find((node) => node.getAttribute('data-key') === key);

/** Take one away; a keyboard goes on at the next, or in the chat. @param {Element|undefined} node */
function remove(node) {
  if (!node) return;
  const hadFocus = node.contains(document.activeElement);
  node.remove();
  if (hadFocus) (element('notices').querySelector('button') ?? textarea('chat-input')).focus({ preventScroll: true });
}

/** @param {string} key */
export function clearNotice(key) {
  remove(find(key));
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
    close.addEventListener('click', () => remove(node));
    node.append(close);
  }
  const former = find(key);
  if (former) {
    const at = [...former.querySelectorAll('button')].findIndex((press) => press === document.activeElement);
    former.replaceWith(node);
    node.querySelectorAll('button')[at]?.focus();
  } else element('notices').append(node);
}
