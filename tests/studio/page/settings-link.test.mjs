// Settings in a link: what is written is read back, and nothing else is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkTo, readSettings, settingsToShare, takeSettings } from '../../../static/settings-link.js';

const FIELDS = [
  { name: 'rank', label: 'Rank', kind: 'int', choices: [] },
  { name: 'learning_rate', label: 'Learning rate', kind: 'float', choices: [] },
  { name: 'steps', label: 'Steps', kind: 'int', choices: [], optional: true },
  { name: 'packing', label: 'Packing', kind: 'choice', choices: ['none', 'dual', 'best-fit'] },
  { name: 'use_rslora', label: 'Scale', kind: 'switch', choices: [] },
  { name: 'target_modules', label: 'Projections', kind: 'modules', choices: ['q_proj', 'v_proj'] },
];
const SETTINGS = { rank: 8, learning_rate: 2.5e-7, steps: null, packing: 'best-fit', use_rslora: true, target_modules: ['q_proj', 'v_proj'] };

test('settings go through a link unchanged, beside what else a fragment has', () => {
  const link = linkTo('https://lab.example/page/?x=1#model=none', SETTINGS);
  assert.equal(link, 'https://lab.example/page/?x=1#settings=rank:8,learning_rate:2.5e-7,steps:,packing:best-fit,use_rslora:true,target_modules:q_proj.v_proj');
  for (const hash of [new URL(link).hash, new URL(link).hash.replaceAll(':', '%3A').replaceAll(',', '%2C')]) {
    const { text, rest } = takeSettings(`${hash}&model=none`);
    assert.equal(rest, 'model=none');
    assert.deepEqual(readSettings(text, FIELDS), { settings: SETTINGS, problem: '' });
  }
});

test('a link carries what the form shows, edits first, and no words', () => {
  const fields = [...FIELDS, { name: 'sample_prompt', label: 'Prompt', kind: 'text', choices: [] }];
  const planned = { rank: 4, steps: null, packing: 'none', eval_every: 10, sample_prompt: 'secret' };
  const shared = settingsToShare(fields, planned, { rank: 9 });
  assert.deepEqual(shared, { rank: 9, steps: null, packing: 'none' });
  assert.equal(readSettings('sample_prompt:secret', fields).problem, 'Prompt cannot be “secret”');
  assert.deepEqual(settingsToShare(fields, {}, {}), {});
});

test('no settings are no fragment, and another fragment is left alone', () => {
  assert.equal(linkTo('https://lab.example/#settings=rank:1', {}), 'https://lab.example/');
  assert.deepEqual(takeSettings('#chat'), { text: null, rest: 'chat' });
  assert.deepEqual(takeSettings(''), { text: null, rest: '' });
});

test('whatever else stands there is refused whole, with one reason', () => {
  const bad = {
    '': 'is no setting', rank: 'is no setting', 'colour:blue': 'is no setting', 'rank:8,rank:9': 'twice', 'rank:': 'cannot be',
    'rank:many': 'cannot be', 'rank:0x10': 'cannot be', 'rank:1e999': 'cannot be', 'rank:Infinity': 'cannot be', 'rank: 8': 'cannot be',
    'packing:triple': 'cannot be', 'use_rslora:1': 'cannot be', 'target_modules:q_proj.lm_head': 'cannot be', 'target_modules:': 'cannot be',
    'rank:8:9': 'is no setting', '__proto__:1': 'is no setting', 'constructor:1': 'is no setting', '%E0%A4%A': 'cut off', '<b>:1': 'is no setting',
    [`rank:${'9'.repeat(9000)}`]: 'characters',
  };
  for (const [text, reason] of Object.entries(bad)) {
    const { settings, problem } = readSettings(text, FIELDS);
    assert.deepEqual(settings, {}, text);
    assert.match(problem, new RegExp(reason), text);
    assert.ok(problem.length < 120);
  }
});
