// @ts-check
/** How long a run still takes, by what its steps took since this page began or resumed it. */

/** Enough to even out windows of different lengths, few enough to follow a device that throttles. */
const RECENT_STEPS = 20;
/** Until so many steps are there, the plan knows better than the first one, which is slow. */
export const CALIBRATION_STEPS = 3;

export class Pace {
  constructor() {
    /** @type {number[]} of the last steps, pauses and what happens between steps left out */
    this.seconds = [];
    this.count = 0;
    this.total = 0;
    this.timed = 0;
    /** Milliseconds from the first report to the last, pauses left out. */
    this.elapsed = 0;
    this.reported = NaN;
  }

  /** @param {number} seconds of a step @param {number} now milliseconds */
  step(seconds, now) {
    if (this.count && !Number.isNaN(this.reported)) {
      this.elapsed += now - this.reported;
      this.total += seconds;
      this.timed += 1;
    }
    this.count += 1;
    this.reported = now;
    this.seconds.push(seconds);
    // The first step warms up: it counts for as long as there is no other.
    if (this.seconds.length > RECENT_STEPS || this.count === 2) this.seconds.shift();
  }

  /** A pause, or work for somebody else, is not the run's. */
  interrupt() {
    this.reported = NaN;
  }

  /** @returns {number|null} seconds from one step to the next, evaluations and samples included */
  get each() {
    if (!this.seconds.length) return null;
    const own = this.seconds.reduce((sum, value) => sum + value, 0) / this.seconds.length;
    const between = this.timed ? Math.max(0, this.elapsed / 1e3 - this.total) / this.timed : 0;
    return own + between;
  }

  /**
   * @param {number} steps still to go
   * @param {number|null} planned seconds of a step, by the plan
   * @returns {number|null}
   */
  left(steps, planned) {
    const each = this.count < CALIBRATION_STEPS && planned !== null ? planned : this.each;
    return each === null ? null : Math.max(0, steps) * each;
  }
}
