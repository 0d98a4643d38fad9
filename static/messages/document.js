// @ts-check
/** The words that stand in the document: of index.html, and whatever is on the screen by now. */

import { sayAgain } from './messages.js';

const ATTRIBUTES = ['placeholder', 'aria-label', 'title', 'alt', 'label'];
/** What a person or the model wrote has translate="no"; the rest of these holds no words for people. */
const APART = '[translate=no], script, style, code, noscript';

/** @param {string} text @returns {string|undefined} with the space around it as it was */
function replaced(text) {
  const words = text.trim();
  if (!words) return undefined;
  const other = sayAgain(words.replace(/\s+/gu, ' '));
  return other === undefined ? undefined : text.replace(words, () => other);
}

/** Put every word of the document into the language of the page. */
export function translateDocument() {
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => (
    node instanceof Element && node.matches(APART) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node instanceof Text) {
      const text = replaced(node.data);
      if (text !== undefined) node.data = text;
    } else if (node instanceof Element) {
      for (const name of node.matches('meta[name=description]') ? ['content'] : ATTRIBUTES) {
        const text = replaced(node.getAttribute(name) ?? '');
        if (text !== undefined) node.setAttribute(name, text);
      }
    }
  }
}
