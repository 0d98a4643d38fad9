// What an evaluation says of text that was learnt from, and of other text; in English and German.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const { verdictOf } = await import('../../../static/ui/run/verdict.js');
const german = JSON.parse(await readFile(new URL('../../../static/messages/de.json', import.meta.url), 'utf8'));

/** @param {string} source @param {string} verdict @param {number} gain */
const say = (source, verdict, gain) => verdictOf(/** @type {any} */ ({ source, judgement: { verdict, gain, margin: 0.01, train_gain: null, num_better: 3, num_passages: 4 } }));

test('only of text that was learnt from, or kept out of the run, it is said to have learned', () => {
  assert.match(say('learnt', 'learned', 0.5).join(' '), /^Learned\. The trained model finds the text it learns from easier by 0\.500 nats/);
  assert.match(say('held-out', 'learned', 0.5).join(' '), /^Learned\. .* text kept out of training/);
  for (const [verdict, gain, words] of [['learned', 0.5, 'Easier.'], ['worse', -0.5, 'Harder.'], ['unchanged', 0, 'Unchanged.']]) {
    const [word, why] = say('other', verdict, gain);
    assert.equal(word, words);
    assert.match(why, /^This is not the text it was trained on\. /);
    assert.doesNotMatch(why, /Train|it learns from/);
    assert.match(say('unknown', verdict, gain)[1], /^Whether it was trained on this text is not known: it comes from a file\. /);
  }
});

test('of too little text nothing is said, whatever it was', () => {
  for (const source of ['held-out', 'learnt', 'other', 'unknown']) {
    const [word, why] = say(source, 'unclear', 0.7);
    assert.equal(word, 'Too little to tell.');
    assert.match(why, /easier by 0\.700 nats a token, but differences below 0\.010 may be chance\. .* paste more here\.$/);
    assert.match(say(source, 'unclear', -0.1)[1], /harder by 0\.100/);
  }
});

test('the same stands in German', () => {
  assert.equal(german['This is not the text it was trained on.'], 'Das ist nicht der Text, mit dem trainiert wurde.');
  for (const how of ['finds it easier by', 'finds it harder by']) assert.match(german[`{which} The trained model ${how} {gain} ({chance}). {passages}`], /^\{which\} Dem trainierten Modell/);
});
