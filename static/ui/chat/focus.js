// @ts-check
/** Where the keyboard goes when what was pressed is taken away: a question asked anew, Send, Stop. */

import { button, element, textarea } from '../dom.js';

/** A touch screen would open its keyboard over the answer. */
const home = () => (matchMedia('(pointer: coarse)').matches ? element('chat-log') : textarea('chat-input'));

/** Leave it where the next message is written. */
export const focusComposer = () => home().focus({ preventScroll: true });

/** Put it on the last thing of the conversation that can be pressed. @param {string} selector */
function focusLast(selector) {
  const found = [...element('chat-log').querySelectorAll(selector)].at(-1);
  if (found instanceof HTMLElement) found.focus({ preventScroll: true });
  else focusComposer();
}

/**
 * Called before a question goes out.
 * @returns {{wait: () => void, end: () => void}} `wait` once what was pressed is gone, `end` once there is an answer
 */
export function holdFocus() {
  const held = document.activeElement;
  const isInLog = held !== element('chat-log') && element('chat-log').contains(held);
  const isPressed = held instanceof HTMLButtonElement && held.closest('#chat-form, #chat-suggest') !== null;
  return {
    wait() {
      if (isInLog) element('chat-log').focus({ preventScroll: true });
      else if (isPressed) focusComposer();
    },
    end() {
      const now = document.activeElement;
      if (isInLog && (now === element('chat-log') || now === button('chat-stop'))) focusLast('.again');
      else if (now === button('chat-stop')) focusComposer();
    },
  };
}

/** Do something that takes a button of the conversation away. @param {() => void} action */
export function keepingFocus(action) {
  const isInLog = element('chat-log').contains(document.activeElement);
  action();
  if (isInLog) focusLast('.again,.aside>.link');
}
