// @ts-check
/** For messages that are shown elsewhere than where they are written, as in a worker. */

/** Mark a message for the catalogues; whoever shows it calls `t`. @param {string} english */
export const mark = (english) => english;
