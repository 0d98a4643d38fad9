// Where the keyboard goes while a run takes buttons away: a document of a few elements is enough.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { state } from '../../../static/store.js';

/** @type {any} */
const page = { activeElement: null };
class HTMLElement {
  /** @param {string} id */
  constructor(id) {
    Object.assign(this, { id, disabled: false, hidden: false });
  }

  matches() {
    return this.disabled;
  }

  checkVisibility() {
    return !this.hidden;
  }

  focus() {
    page.activeElement = this;
  }
}
const names = ['train', 'pause', 'stop', 'resume-run', 'resume-discard', 'finish-chat', 'finish-evaluate', 'finish-download', 'console-title', 'chat-input'];
const all = Object.fromEntries(names.map((id) => [id, new HTMLElement(id)]));
page.getElementById = (/** @type {string} */ id) => all[id];
Object.assign(globalThis, { document: page, HTMLElement });
const { followFocus } = await import('../../../static/ui/run/focus.js');

/** @param {boolean} running @param {string[]} usable @param {boolean} [beginning] */
function show(running, usable, beginning) {
  state.run = running ? /** @type {any} */ ({ done: null, failed: false }) : null;
  for (const id of names) all[id].disabled = all[id].hidden = !usable.includes(id) && id !== 'console-title' && id !== 'chat-input';
  followFocus(beginning);
  return page.activeElement.id;
}

for (const banner of [[], ['finish-chat', 'finish-evaluate', 'finish-download']]) {
  test(`from Train to Pause, from Stop to what is next, ${banner.length ? 'after another run' : 'at first'}`, () => {
    all['train'].focus();
    assert.equal(show(false, banner, true), 'console-title'); // not the banner of the run before
    assert.equal(show(true, ['stop']), 'console-title'); // nothing to pause yet
    assert.equal(show(true, ['pause', 'stop']), 'pause');
    all['stop'].focus();
    assert.equal(show(true, []), 'console-title'); // stopping
    assert.equal(show(false, ['finish-chat', 'train']), 'finish-chat');
  });
}

test('a run that failed leads back to Train, one that is gone on with to Pause', () => {
  all['pause'].focus();
  assert.equal(show(false, ['train']), 'train');
  all['resume-run'].focus();
  assert.equal(show(true, ['stop']), 'console-title');
  assert.equal(show(true, ['pause', 'stop']), 'pause');
});

test('a banner that goes takes no focus with it', () => {
  all['finish-download'].focus();
  assert.equal(show(true, ['pause', 'stop']), 'pause');
});

test('who is elsewhere stays there', () => {
  all['train'].focus();
  show(false, [], true);
  all['chat-input'].focus();
  assert.equal(show(true, ['pause', 'stop']), 'chat-input');
  assert.equal(show(false, ['finish-chat', 'train']), 'chat-input');
  all['stop'].focus();
  assert.equal(show(true, ['pause', 'stop']), 'stop'); // it can be pressed: nothing to mend
  state.run = null;
});
