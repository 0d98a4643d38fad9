// What the line under the composer says before a message is sent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Thread } from '../../../static/ui/chat/thread.js';
import { nextRequest, wordsOfAnswer, wordsOfPrompt } from '../../../static/ui/chat/context.js';

const size = { num_prompt_tokens: 188, room: 482, max_new_tokens: 30, max_context: 512, num_dropped: 0 };

test('a message that fits is told with the room of its answer', () => {
  assert.equal(wordsOfPrompt(size), 'Prompt 188 + answer up to 30 of 512 tokens of context');
  assert.match(wordsOfPrompt({ ...size, num_dropped: 1 }), /· the oldest message is left out$/);
  assert.match(wordsOfPrompt({ ...size, num_dropped: 4 }), /· the 4 oldest messages are left out$/);
});

test('one that does not fit says so, and by how much', () => {
  assert.match(wordsOfPrompt({ ...size, num_prompt_tokens: 483 }), /^Too long: 483 tokens, .* at most 482 .* Shorten/);
  assert.doesNotMatch(wordsOfPrompt({ ...size, num_prompt_tokens: 482 }), /Too long/);
});

test('an answer that has come is told with what it took', () => {
  assert.equal(wordsOfAnswer({ num_prompt_tokens: 188, num_tokens: 30, max_context: 512 }), 'Prompt 188 + answer 30 = 218 of 512 tokens of context');
});

test('what is counted is what would be sent, and changes nothing', () => {
  const thread = new Thread();
  thread.add('q1').answers.set('base', { text: 'b1' });
  const { messages, raw, settings } = nextRequest(thread, 'q2');
  assert.deepEqual(messages.map(({ content }) => content), ['q1', 'b1', 'q2']);
  assert.equal(raw, false);
  assert.deepEqual(settings, {});
  assert.equal(thread.turns.length, 1);
});
