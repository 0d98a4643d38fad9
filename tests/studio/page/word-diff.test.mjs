// Words that two answers do not share, by the longest common subsequence.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffWords, wordsOf } from '../../../static/ui/chat/word-diff.js';

/** Differing words in brackets. */
function marked(a, b) {
  const [left, right] = [wordsOf(a), wordsOf(b)];
  const [inA, inB] = diffWords(left, right);
  const show = (words, marks) => words.map((word, index) => (marks[index] ? `[${word}]` : word)).join(' ');
  return [show(left, inA), show(right, inB)];
}

test('only what differs is marked', () => {
  assert.deepEqual(marked('the sea is blue', 'the sea is green'), ['the sea is [blue]', 'the sea is [green]']);
  assert.deepEqual(marked('a b c', 'a c'), ['a [b] c', 'a c']);
  assert.deepEqual(marked('b c d', 'a b c d e'), ['b c d', '[a] b c d [e]']);
  assert.deepEqual(marked('x y', 'y x'), ['[x] y', 'y [x]']);
});

test('equal, empty and wholly different texts', () => {
  assert.deepEqual(marked('one two', 'one  two\n'), ['one two', 'one two']);
  assert.deepEqual(marked('', 'one two'), ['', '[one] [two]']);
  assert.deepEqual(marked('', ''), ['', '']);
  assert.deepEqual(marked('a b', 'c d'), ['[a] [b]', '[c] [d]']);
});

test('what stays is the same on both sides, in order, and nothing longer is shared', () => {
  let seed = 7;
  const random = (limit) => (seed = (seed * 1103515245 + 12345) % 2147483648) % limit;
  const longest = (a, b) => (!a.length || !b.length ? 0
    : a[0] === b[0] ? 1 + longest(a.slice(1), b.slice(1)) : Math.max(longest(a.slice(1), b), longest(a, b.slice(1))));
  for (let round = 0; round < 200; round += 1) {
    const words = () => Array.from({ length: random(8) }, () => 'abc'.charAt(random(3)));
    const [a, b] = [words(), words()];
    const [inA, inB] = diffWords(a, b);
    const kept = (list, marks) => list.filter((_, index) => !marks[index]);
    assert.deepEqual(kept(a, inA), kept(b, inB));
    assert.equal(kept(a, inA).length, longest(a, b));
  }
});

test('answers of the greatest length are compared in time, longer ones without waiting', () => {
  const words = (count, step) => Array.from({ length: count }, (_, index) => `w${(index * step) % 997}`);
  for (const count of [2000, 50_000]) {
    const before = process.cpuUsage();
    diffWords(words(count, 7), words(count, 11));
    const { user, system } = process.cpuUsage(before); // others may want the core too
    assert.ok(user + system < 2e6);
  }
});
