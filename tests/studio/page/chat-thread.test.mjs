// Who is shown what of a conversation in which several voices answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Thread } from '../../../static/ui/chat/thread.js';

/** @param {Thread} thread @param {string} question @param {Record<string, string>} answers */
function turn(thread, question, answers) {
  const added = thread.add(question);
  for (const [voice, text] of Object.entries(answers)) added.answers.set(voice, { text });
  return added;
}

const words = (messages) => messages.map(({ role, content }) => `${role[0]}:${content}`).join(' ');

test('a voice is shown its own answers and no others', () => {
  const thread = new Thread();
  turn(thread, 'q1', { base: 'b1' });
  turn(thread, 'q2', { lora: 'l2' });
  turn(thread, 'q3', { base: 'b3', lora: 'l3' });
  const next = thread.add('q4');
  assert.equal(words(thread.messages(next, 'base', '')), 'u:q1 a:b1 u:q3 a:b3 u:q4');
  assert.equal(words(thread.messages(next, 'lora', 'be brief')), 's:be brief u:q2 a:l2 u:q3 a:l3 u:q4');
  assert.equal(words(thread.messages(next, 'other', '')), 'u:q4');
  assert.deepEqual(['base', 'lora', 'other'].map((voice) => thread.numUnseen(next, voice)), [1, 1, 3]);
});

test('an answer that says nothing is not shown again', () => {
  const thread = new Thread();
  turn(thread, 'q1', { base: ' ' });
  const next = thread.add('q2');
  assert.equal(words(thread.messages(next, 'base', '')), 'u:q2');
  assert.equal(thread.numUnseen(next, 'base'), 0);
});

test('an edited turn takes the place of itself and all after it, and they can come back', () => {
  const thread = new Thread();
  turn(thread, 'q1', { base: 'b1' });
  const second = turn(thread, 'q2', { base: 'b2' });
  turn(thread, 'q3', { base: 'b3' });
  const cut = thread.cut(second);
  assert.equal(cut.length, 2);
  const edited = thread.add('q2 again', 3);
  assert.equal(edited.attempt, 3);
  assert.equal(words(thread.messages(edited, 'base', '')), 'u:q1 a:b1 u:q2 again');
  thread.cut(edited);
  thread.restore(cut);
  assert.deepEqual(thread.turns.map(({ question }) => question), ['q1', 'q2', 'q3']);
  assert.deepEqual(thread.cut(edited), []);
});
