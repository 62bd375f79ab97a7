// Shared by the compiler and by rendering: what a template did wrong is an answer, what it used up is an exception.
"use strict";
(() => {
  const SYNTAX = /^(?:Parse|Lexical) error on line (\d{1,9})[^\n]*\n([^\n]*)/;

  const told = (error) => {
    const syntax = SYNTAX.exec(error.message);
    if (syntax !== null) return { error: `the syntax is wrong near ${syntax[2]}`, line: Number(syntax[1]) };
    if (error instanceof TypeError) return { error: "a value is used as if it were a helper", line: null };
    // Handlebars appends the position, which we tell apart from the sentence.
    const sentence = error.message.replace(/ - \d+:\d+$/, "");
    return { error: sentence.slice(0, 500).toWellFormed(), line: error.lineNumber ?? null };
  };

  globalThis.attempt = (work) => {
    try {
      return JSON.stringify({ ok: work() });
    } catch (error) {
      if (error instanceof InternalError || error instanceof RangeError) throw error;
      return JSON.stringify({ part: error.part ?? null, ...told(error) });
    }
  };
})();
