// build.py puts the real file here in dist/.
export { default } from "uplot";
