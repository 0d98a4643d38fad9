// @ts-check
/** The conversation on the screen: a turn is a question and one answer, or two side by side. */

import { plural, t } from '../../messages/messages.js';
import { make, setText } from '../dom.js';
import { formatRate } from '../format.js';
import { showMarkdown } from '../markdown/view.js';

/** @import {Answer} from '../../types.js' */
/** @import {Voice} from './voices.js' */

/** Within this distance of the end, the log follows what is being written. */
const FOLLOW_PX = 60;

/**
 * Remember whether a log shows its end; what is returned goes there again.
 * @param {HTMLElement} log
 */
export function follow(log) {
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOW_PX;
  return () => {
    if (near) log.scrollTop = log.scrollHeight;
  };
}

/** @param {string} text @param {string} label what it does, in full @param {() => void} action */
export function smallButton(text, label, action) {
  const node = make('button', { type: 'button', class: 'link small', text, 'aria-label': label, title: label });
  node.addEventListener('click', action);
  return node;
}

/** What stands in the place of an answer without a word. @param {Answer} answer */
function describeBlank({ text, stop_reason: reason }) {
  if (reason === 'stopped') return t('(Stopped before the first word.)');
  return text ? t('(Only blank space: no word among its tokens.)') : t('(The model said nothing.)');
}

/** An answer that is being written; its text is put on the screen once a frame. */
export class AnswerBubble {
  /**
   * @param {HTMLElement} log
   * @param {Voice} voice
   * @param {boolean} isPlain the text is no Markdown
   */
  constructor(log, voice, isPlain) {
    this.log = log;
    this.text = '';
    this.isPlain = isPlain;
    this.isBlank = false; // without a word: a sentence about it stands in its place
    this.scheduled = false;
    this.body = make('div', { class: isPlain ? 'msg-body plain' : 'msg-body md', translate: 'no' });
    this.about = make('span', { class: 'about', text: t('waiting…') });
    this.actions = make('span', { class: 'msg-actions' });
    const by = make('div', { class: 'msg-by' }, make('span', { class: 'by', text: voice.label }), this.about, this.actions);
    this.node = make('article', { class: 'msg assistant', 'data-role': 'assistant', 'data-by': voice.adapter === null ? 'base' : 'lora', 'data-busy': '', 'aria-label': t('{voice} answers', { voice: voice.label }) }, this.body, by);
  }

  begin() {
    setText(this.about, t('reading…'));
  }

  /** @param {string} delta */
  add(delta) {
    this.text += delta;
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      if (this.scheduled) this.render();
    });
  }

  render() {
    this.scheduled = false;
    const keep = follow(this.log);
    if (this.isPlain) setText(this.body, this.text);
    else showMarkdown(this.body, this.text);
    if (this.text && 'busy' in this.node.dataset) setText(this.about, '');
    keep();
  }

  /**
   * @param {Answer} answer
   * @param {string[]} notes sentences to add
   */
  finish(answer, notes) {
    const keep = follow(this.log);
    this.text = answer.text;
    delete this.node.dataset['busy'];
    this.render();
    const parts = [plural(answer.num_tokens, { one: '{count} token', other: '{count} tokens' })];
    if (answer.tokens_per_second > 0) parts.push(t('{rate} tokens/s', { rate: formatRate(answer.tokens_per_second) }));
    if (answer.stop_reason === 'length') parts.push(t('cut at the longest answer set'));
    if (answer.stop_reason === 'stopped') parts.push(t('stopped'));
    setText(this.about, parts.join(' · '));
    this.isBlank = !answer.text.trim();
    if (this.isBlank) setText(this.body, describeBlank(answer));
    else this.actions.append(smallButton(t('Copy'), t('Copy this answer'), () => void navigator.clipboard.writeText(answer.text).catch(() => {})));
    for (const text of notes) this.node.append(make('p', { class: 'msg-note', text }));
    keep();
  }
}

/** A question, to be edited in its place, and its answers. */
export class TurnView {
  /**
   * @param {HTMLElement} log
   * @param {string} question
   * @param {(question: string) => void} onEdit called with the question as it was changed
   */
  constructor(log, question, onEdit) {
    this.log = log;
    this.question = question;
    this.onEdit = onEdit;
    this.answers = make('div', { class: 'answers' });
    this.body = make('div', { class: 'msg-body', text: question, translate: 'no' });
    this.edit = smallButton(t('Edit'), t('Edit this message; the conversation goes on from it'), () => this.startEdit());
    this.by = make('div', { class: 'msg-by' }, make('span', { class: 'msg-actions' }, this.edit));
    this.asked = make('article', { class: 'msg user', 'data-role': 'user', 'aria-label': t('You') }, this.body, this.by);
    this.node = make('section', { class: 'turn' }, this.asked, this.answers);
    log.querySelector('.log-empty')?.remove();
    log.append(this.node);
    log.scrollTop = log.scrollHeight;
  }

  /** @param {Voice[]} voices @param {boolean} isPlain */
  addAnswers(voices, isPlain) {
    const bubbles = voices.map((voice) => new AnswerBubble(this.log, voice, isPlain));
    this.answers.classList.toggle('two', bubbles.length > 1);
    this.answers.replaceChildren(...bubbles.map((bubble) => bubble.node));
    this.log.scrollTop = this.log.scrollHeight;
    return bubbles;
  }

  startEdit() {
    const box = make('textarea', { rows: '2', 'aria-label': t('Edit your message') });
    box.value = this.question;
    const stop = () => {
      form.replaceWith(this.body);
      this.by.hidden = false;
      this.edit.focus();
    };
    const send = () => {
      const changed = box.value.trim();
      stop();
      if (changed) this.onEdit(changed);
    };
    const form = make('form', { class: 'msg-edit' }, box, make('div', { class: 'row' },
      make('button', { type: 'submit', class: 'primary', text: t('Send') }), smallButton(t('Cancel'), t('Leave the message as it was'), stop)));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      send();
    });
    box.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') stop();
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      send();
    });
    this.by.hidden = true;
    this.body.replaceWith(form);
    box.focus();
  }
}

/**
 * What an empty conversation says.
 * @param {HTMLElement} log
 */
export function showEmpty(log) {
  log.replaceChildren(make('div', { class: 'log-empty' },
    make('strong', { text: t('Ask before, ask after') }),
    make('span', { text: t('Ask the base model something about your text, train, then switch to LoRA and ask again, or have both answer side by side.') })));
}
