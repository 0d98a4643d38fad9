// @ts-check
/**
 * A conversation in which several voices answer: the base model, adapters. Each voice is shown
 * the turns that it answered itself and no others, so that none takes another's words for its own.
 */

/** @import {Answer, Message} from '../../types.js' */

/**
 * @typedef {object} Turn
 * @property {string} question
 * @property {Map<string, Answer>} answers by voice
 * @property {number} attempt how often it was answered anew; it moves the seed on
 */

export class Thread {
  constructor() {
    /** @type {Turn[]} */
    this.turns = [];
  }

  /** @param {string} question @param {number} [attempt] @returns {Turn} */
  add(question, attempt = 0) {
    const turn = { question, answers: new Map(), attempt };
    this.turns.push(turn);
    return turn;
  }

  /**
   * Take a turn and all after it away.
   * @param {Turn} turn
   * @returns {Turn[]} what was taken, to be put back with `restore`
   */
  cut(turn) {
    const index = this.turns.indexOf(turn);
    return index < 0 ? [] : this.turns.splice(index);
  }

  /** @param {Turn[]} turns */
  restore(turns) {
    this.turns.push(...turns);
  }

  /** @param {Turn} turn */
  before(turn) {
    const index = this.turns.indexOf(turn);
    return index < 0 ? this.turns : this.turns.slice(0, index);
  }

  /**
   * What a voice is asked with: the system prompt, what it has said so far, the question.
   * @param {Turn} turn
   * @param {string} voice
   * @param {string} system '' for none
   * @returns {Message[]}
   */
  messages(turn, voice, system) {
    /** @type {Message[]} */
    const messages = system ? [{ role: 'system', content: system }] : [];
    for (const { question, answers } of this.before(turn)) {
      const answer = answers.get(voice);
      // An empty answer would be a turn that some templates refuse.
      if (answer?.text.trim()) messages.push({ role: 'user', content: question }, { role: 'assistant', content: answer.text });
    }
    messages.push({ role: 'user', content: turn.question });
    return messages;
  }

  /**
   * How many earlier turns a voice is not shown, because only others answered them.
   * @param {Turn} turn
   * @param {string} voice
   */
  numUnseen(turn, voice) {
    return this.before(turn).filter(({ answers }) => !answers.has(voice)).length;
  }
}
