// @ts-check
/** The line under the composer: how much of the context the message being typed would take, or the last answer took. */

import { onLanguage, plural, t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { debounce, element, setText, textarea } from '../dom.js';
import { clearError } from '../messages.js';
import { answerSettings, onAnswerSettings } from './settings.js';
import { voices } from './voices.js';

/** @import {Studio} from '../../api.js' */
/** @import {Answer, Message, PromptSize} from '../../types.js' */
/** @import {Thread} from './thread.js' */

const COUNT_AFTER_MS = 300;

/** @param {Answer} answer */
export const wordsOfAnswer = ({ num_prompt_tokens: prompt, num_tokens: answer, max_context: most }) =>
  t('Prompt {prompt} + answer {answer} = {both} of {most} tokens of context', { prompt, answer, both: prompt + answer, most });

/** What is said of a message before it is sent. @param {PromptSize} size */
export function wordsOfPrompt({ num_prompt_tokens: prompt, room, max_new_tokens: answer, max_context: most, num_dropped: dropped }) {
  if (prompt > room) return t('Too long: {prompt} tokens, and the model sees at most {room} of them at once. Shorten the message.', { prompt, room });
  const said = t('Prompt {prompt} + answer up to {answer} of {most} tokens of context', { prompt, answer, most });
  if (!dropped) return said;
  return `${said} · ${plural(dropped, { one: 'the oldest message is left out', other: 'the {count} oldest messages are left out' })}`;
}

/**
 * What the next message would be asked with; of several voices the one that was said most to.
 * @param {Thread} thread @param {string} question
 */
export function nextRequest(thread, question) {
  const { raw, system, settings } = answerSettings(0);
  const turn = { question, answers: new Map(), attempt: 0 };
  /** @param {Message[]} messages */
  const length = (messages) => messages.reduce((sum, { content }) => sum + content.length, 0);
  const [longest] = voices().map(({ key }) => thread.messages(turn, key, system)).sort((a, b) => length(b) - length(a));
  return { messages: longest, raw, settings };
}

export class ContextLine {
  /** @param {Studio} studio @param {Thread} thread */
  constructor(studio, thread) {
    this.studio = studio;
    this.thread = thread;
    this.turn = 0; // of counting: only the newest counts
    this.isCounting = false;
    this.isTyped = false;
    this.countSoon = debounce(COUNT_AFTER_MS, () => void this.count());
    textarea('chat-input').addEventListener('input', () => this.changed(true));
    onLanguage(() => this.changed());
    onAnswerSettings(() => this.changed());
    watch(['status', 'model', 'adapter', 'shelf', 'tuned', 'useTuned', 'useLora', 'compare'], () => this.changed());
  }

  /** The message, the conversation before it or who answers is another one. @param {boolean} [isTyped] */
  changed(isTyped = false) {
    this.turn += 1;
    this.isTyped = isTyped;
    if (textarea('chat-input').value.trim()) this.countSoon();
    else this.showAnswer();
  }

  /** What the last answer took; nothing where there is none. */
  showAnswer() {
    const answer = this.thread.turns.flatMap(({ answers }) => [...answers.values()]).at(-1);
    if (answer) this.show(wordsOfAnswer(answer), answer.num_prompt_tokens + answer.num_tokens, false);
    else element('chat-context').hidden = true;
  }

  /** @param {string} words @param {number} value @param {boolean} isTooLong */
  show(words, value, isTooLong) {
    const place = element('chat-context');
    place.hidden = false;
    place.dataset['value'] = String(value);
    place.toggleAttribute('data-too-long', isTooLong);
    setText(place, words);
  }

  async count() {
    const question = textarea('chat-input').value.trim();
    // While the GPU is at work nothing can be sent; once it is free, it is counted.
    if (!question || !state.model || !['ready', 'paused'].includes(state.status)) return;
    if (this.isCounting) return this.countSoon(); // one at a time
    const { turn, isTyped } = this;
    this.isCounting = true;
    try {
      /** @type {PromptSize} */
      const size = await this.studio.request('count-chat', nextRequest(this.thread, question));
      if (turn !== this.turn) return;
      const isTooLong = size.num_prompt_tokens > size.room;
      if (isTyped && !isTooLong) clearError('chat'); // it was about what stood here before
      this.show(wordsOfPrompt(size), size.num_prompt_tokens, isTooLong);
    } catch {
      if (turn === this.turn) this.showAnswer(); // Send says what is wrong
    } finally {
      this.isCounting = false;
    }
  }
}
