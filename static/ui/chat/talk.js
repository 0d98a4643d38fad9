// @ts-check
/** The conversation itself: asking, asking anew from an earlier point, and who answers. */

import { plural, t } from '../../messages/messages.js';
import { state } from '../../store.js';
import { Aside } from './aside.js';
import { holdFocus, keepingFocus } from './focus.js';
import { follow, showEmpty, smallButton, TurnView } from './log.js';
import { markDifferences } from './marks.js';
import { answerSettings, isSampling } from './settings.js';
import { Thread } from './thread.js';
import { voices } from './voices.js';
import { make } from '../dom.js';
import { announce, clearError, showFailure } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {Answer} from '../../types.js' */
/** @import {AnswerBubble} from './log.js' */
/** @import {Turn} from './thread.js' */
/** @import {Voice} from './voices.js' */

/** @param {Voice} voice */
const whoAnswers = ({ adapter, isTuned = false }) => (adapter === null ? { use_lora: false, use_tuned: isTuned } : { use_lora: true, adapter });

export class Talk {
  /**
   * @param {Studio} studio
   * @param {HTMLElement} log
   * @param {() => void} onChange called when an answer begins, and whenever one has come
   */
  constructor(studio, log, onChange) {
    this.studio = studio;
    this.log = log;
    this.onChange = onChange;
    this.thread = new Thread();
    /** @type {Map<Turn, TurnView>} */
    this.views = new Map();
    /** @type {{id: number, bubble: AnswerBubble}|null} the answer that is being written */
    this.writing = null;
    this.isAnswering = false;
    this.isStopped = false;
    this.aside = new Aside(() => keepingFocus(() => this.bringBack()));
    showEmpty(log);
  }

  canSend() {
    return state.model !== null && !this.isAnswering && (state.status === 'ready' || state.status === 'paused');
  }

  /** A piece of an answer has come. @param {{request: number, text: string}} token */
  receive({ request, text }) {
    if (this.writing?.id === request) this.writing.bubble.add(text);
  }

  stop() {
    this.isStopped = true;
    this.studio.request('chat-stop').catch(showFailure);
  }

  /** Begin anew; what there was can be brought back. */
  clear() {
    if (this.thread.turns.length) this.aside.put(this.thread.turns.splice(0), 0);
    this.showAgain();
  }

  /** Bring back what an edit or Clear put aside; what stands in its place goes aside instead. */
  bringBack() {
    const { turns, index } = this.aside;
    if (!this.canSend() || !turns.length) return;
    this.aside.put(this.thread.turns.splice(index), index);
    this.thread.restore(turns);
    this.showAgain();
    this.onChange();
  }

  /** Put the conversation on the screen as it is now. */
  showAgain() {
    this.log.replaceChildren(...this.thread.turns.flatMap((turn) => this.views.get(turn)?.node ?? []));
    if (!this.thread.turns.length) showEmpty(this.log);
    this.offerAgain();
    this.aside.show(this.log);
    this.log.scrollTop = this.log.scrollHeight;
  }

  /**
   * Ask something at the end, or in the place of a turn and all after it. Where nothing comes of
   * it, everything is as it was.
   * @param {string} question
   * @param {{turn?: Turn, attempt?: number}} [place]
   * @returns {Promise<boolean>} whether anyone answered
   */
  async ask(question, { turn: old, attempt = 0 } = {}) {
    if (!this.canSend()) return false;
    const focus = holdFocus();
    const index = old ? this.thread.turns.indexOf(old) : -1;
    const cut = old ? this.thread.cut(old) : [];
    const removed = cut.flatMap((turn) => this.views.get(turn) ?? []);
    for (const view of removed) view.node.remove();
    const turn = this.thread.add(question, attempt);
    const view = new TurnView(this.log, question, (changed) => void this.ask(changed, { turn }));
    this.views.set(turn, view);
    const answering = this.answer(turn, view);
    focus.wait();
    const isAnswered = await answering;
    if (isAnswered) {
      if (cut.length > 1) this.aside.put(cut, index);
    } else {
      this.thread.cut(turn);
      this.views.delete(turn);
      view.node.remove();
      this.thread.restore(cut);
      this.log.append(...removed.map((kept) => kept.node));
      if (!this.thread.turns.length) showEmpty(this.log);
    }
    this.offerAgain();
    this.aside.show(this.log);
    this.onChange();
    focus.end();
    return isAnswered;
  }

  /** @param {Turn} turn @param {TurnView} view */
  async answer(turn, view) {
    clearError();
    this.isAnswering = true;
    this.isStopped = false;
    this.onChange();
    const speaking = voices();
    const bubbles = view.addAnswers(speaking, answerSettings(0).raw);
    try {
      for (const [index, voice] of speaking.entries()) {
        const bubble = bubbles[index];
        if (bubble && !this.isStopped) await this.answerWith(voice, turn, bubble);
      }
    } catch (error) {
      showFailure(error, 'chat');
    }
    this.writing = null;
    this.isAnswering = false;
    const done = bubbles.filter((bubble) => !('busy' in bubble.node.dataset));
    for (const bubble of bubbles) if (!done.includes(bubble)) bubble.node.remove();
    view.answers.classList.toggle('two', done.length > 1);
    const [left, right] = done;
    const keep = follow(this.log);
    if (left && right) {
      const found = left.isBlank || right.isBlank ? t('There is nothing to compare: an answer has no words.') : markDifferences(left.body, right.body);
      view.answers.append(make('p', { class: 'compared', text: found }));
    }
    keep();
    const said = speaking.flatMap((voice) => {
      const answer = turn.answers.get(voice.key);
      return answer ? [t('{voice} says: {answer}', { voice: voice.label, answer: answer.text })] : [];
    });
    if (said.length) announce(said.join(' '));
    return done.length > 0;
  }

  /** @param {Voice} voice @param {Turn} turn @param {AnswerBubble} bubble */
  async answerWith(voice, turn, bubble) {
    const { raw, system, settings } = answerSettings(turn.attempt);
    const fields = { messages: this.thread.messages(turn, voice.key, system), ...whoAnswers(voice), raw, settings };
    bubble.begin();
    /** @type {Answer} */
    const answer = await this.studio.request('chat', fields, (id) => (this.writing = { id, bubble }));
    const notes = [];
    if (answer.num_dropped > 0) notes.push(t('The conversation is longer than the model can see: its oldest part was left out.'));
    const unseen = raw ? 0 : this.thread.numUnseen(turn, voice.key);
    if (unseen) {
      notes.push(plural(unseen, {
        one: '{voice} has not seen an earlier turn that it did not answer.', other: '{voice} has not seen {count} earlier turns that it did not answer.',
      }, { voice: voice.label }));
    }
    bubble.finish(answer, notes);
    turn.answers.set(voice.key, answer);
    this.onChange();
  }

  /** The last turn can be answered anew. */
  offerAgain() {
    this.log.querySelector('.again')?.remove();
    const turn = this.thread.turns.at(-1);
    const view = turn && this.views.get(turn);
    if (!turn || !view) return;
    const again = smallButton(t('Answer again'), t('Answer again to this message'), () => {
      void this.ask(turn.question, { turn, attempt: turn.attempt + (isSampling() ? 1 : 0) });
    });
    again.classList.add('again');
    again.dataset['testid'] = 'chat-again';
    if (!isSampling()) again.title = t('At temperature 0 the same words come again, unless the settings or the adapter have changed');
    view.by.querySelector('.msg-actions')?.append(again);
  }
}
