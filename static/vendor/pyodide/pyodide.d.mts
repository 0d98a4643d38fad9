// build.py puts the real file here in dist/.
export * from "pyodide";
