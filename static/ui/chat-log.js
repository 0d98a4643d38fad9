// @ts-check
/** The bubbles of the conversation. */

import { make, setText } from './dom.js';
import { formatRate } from './format.js';

/** @import {Answer} from '../types.js' */

/** Within this distance of the end, the log follows what is being written. */
const FOLLOW_PX = 60;

/** @param {HTMLElement} log */
function follow(log) {
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOW_PX;
  return () => {
    if (near) log.scrollTop = log.scrollHeight;
  };
}

/**
 * @param {HTMLElement} log
 * @param {string} text
 */
export function addQuestion(log, text) {
  const node = make('article', { class: 'msg user', 'data-role': 'user' }, make('div', { class: 'msg-body', text }));
  log.querySelector('.log-empty')?.remove();
  log.append(node);
  log.scrollTop = log.scrollHeight;
  return node;
}

/** An answer that is being written; its text is put on the screen once a frame. */
export class AnswerBubble {
  /**
   * @param {HTMLElement} log
   * @param {boolean} useLora
   */
  constructor(log, useLora) {
    this.log = log;
    this.text = '';
    this.scheduled = false;
    this.body = make('div', { class: 'msg-body' });
    this.about = make('span', { text: 'reading…' });
    const by = useLora ? 'lora' : 'base';
    this.node = make('article', { class: 'msg assistant', 'data-role': 'assistant', 'data-by': by, 'data-busy': '' },
      this.body, make('div', { class: 'msg-by' }, make('span', { class: 'by', text: useLora ? 'LoRA' : 'Base' }), this.about));
    log.append(this.node);
    log.scrollTop = log.scrollHeight;
  }

  /** @param {string} delta */
  add(delta) {
    this.text += delta;
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => this.render());
  }

  render() {
    this.scheduled = false;
    const keep = follow(this.log);
    setText(this.body, this.text);
    if (this.text && 'busy' in this.node.dataset) setText(this.about, '');
    keep();
  }

  /** @param {Answer} answer */
  finish(answer) {
    const keep = follow(this.log);
    this.text = answer.text;
    delete this.node.dataset['busy'];
    this.render();
    const parts = [`${answer.num_tokens} tokens`];
    if (answer.tokens_per_second > 0) parts.push(`${formatRate(answer.tokens_per_second)} tokens/s`);
    if (answer.stop_reason === 'length') parts.push('cut at the longest answer set');
    if (answer.stop_reason === 'stopped') parts.push('stopped');
    setText(this.about, parts.join(' · '));
    if (!answer.text.trim()) setText(this.body, '(The model said nothing.)');
    if (answer.num_dropped > 0) {
      this.node.append(make('p', { class: 'msg-note', text: 'The conversation is longer than the model can see: its oldest part was left out.' }));
    }
    keep();
  }

  remove() {
    this.node.remove();
  }
}

/**
 * What an empty conversation says.
 * @param {HTMLElement} log
 */
export function showEmpty(log) {
  log.replaceChildren(make('div', { class: 'log-empty' },
    make('strong', { text: 'Ask before, ask after' }),
    make('span', { text: 'Ask the base model something about your text, train, then switch to LoRA and ask again.' })));
}
