// @ts-check
/** Marks the words in which two answers differ, as they stand on the screen. */

import { t } from '../../messages/messages.js';
import { make } from '../dom.js';
import { diffWords, wordsOf } from './word-diff.js';

/**
 * The texts below an element that belong to the answer, in order.
 * @param {HTMLElement} root
 */
function textsIn(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node instanceof Text && !node.parentElement?.closest('.md-code-bar')) found.push(node);
  }
  return found;
}

/**
 * Wrap the marked words, neighbouring ones together.
 * @param {Text} text
 * @param {boolean[]} marks one for each word in it
 */
function wrap(text, marks) {
  if (!marks.includes(true)) return;
  /** @type {(Node|string)[]} */
  const parts = [];
  let word = 0;
  let marked = '';
  const flush = () => {
    if (marked) parts.push(make('mark', { text: marked.trimEnd() }), marked.slice(marked.trimEnd().length));
    marked = '';
  };
  for (const piece of text.data.split(/(\s+)/u).filter((item) => item !== '')) {
    const isSpace = piece.trim() === '';
    if (isSpace && marked) marked += piece;
    else if (!isSpace && marks[word++]) marked += piece;
    else {
      flush();
      parts.push(piece);
    }
  }
  flush();
  text.replaceWith(...parts);
}

/**
 * Mark what differs between two answers.
 * @param {HTMLElement} a
 * @param {HTMLElement} b
 * @returns {string} what was found, in words
 */
export function markDifferences(a, b) {
  const sides = [a, b].map((root) => textsIn(root).map((text) => ({ text, words: wordsOf(text.data) })));
  const words = sides.map((texts) => texts.flatMap((item) => item.words));
  const marks = diffWords(words[0] ?? [], words[1] ?? []);
  sides.forEach((texts, side) => {
    let from = 0;
    for (const item of texts) {
      wrap(item.text, (marks[side] ?? []).slice(from, from + item.words.length));
      from += item.words.length;
    }
  });
  const counts = marks.map((side) => side.filter(Boolean).length);
  if (!counts[0] && !counts[1]) return t('Both answers are the same, word for word.');
  const [left, right] = counts;
  return t('Words that the other answer lacks are marked: {left} of {leftWords} on the left, {right} of {rightWords} on the right.', {
    left, leftWords: words[0]?.length ?? 0, right, rightWords: words[1]?.length ?? 0,
  });
}
