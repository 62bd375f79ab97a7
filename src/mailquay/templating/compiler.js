// Compiles templates to the text of JavaScript. Nothing of a template runs here.
"use strict";
(() => {
  const { lexer } = Handlebars.Parser;
  const rule = (match) => ({ [Symbol.match]: match });
  // The rules begin with "^", which the engine still tries at each position of the rest: quadratic, unless sticky.
  const anchored = (pattern) => {
    const sticky = new RegExp(pattern.source, "y");
    return rule((text) => {
      sticky.lastIndex = 0;
      return sticky.exec(text);
    });
  };
  // Text before the next placeholder, and text behind the last one, may be megabytes: found without a pattern.
  const plain = {
    "^(?:[^\\x00]*?(?=(\\{\\{)))": rule((text) => {
      const end = text.indexOf("{{");
      return end < 0 ? null : [text.slice(0, end), "{{"];
    }),
    "^(?:[^\\x00]+)": rule((text) => (text === "" ? null : [text])),
  };
  lexer.rules = lexer.rules.map((pattern) => plain[pattern.source] ?? anchored(pattern));

  const refuse = (what) => (node) => {
    throw new Handlebars.Exception(`${what} cannot be used`, node);
  };
  const guard = Object.assign(new Handlebars.Visitor(), {
    PartialStatement: refuse("partials"),
    PartialBlockStatement: refuse("partials"),
    Decorator: refuse("decorators"),
    DecoratorBlock: refuse("decorators"),
  });
  const knownHelpers = {};
  for (const name of OWN_HELPERS) knownHelpers[name] = true;

  globalThis.compileTemplate = (source, escaped) =>
    attempt(() => {
      const tree = Handlebars.parse(source);
      guard.accept(tree);
      return String(Handlebars.precompile(tree, { noEscape: !escaped, knownHelpers }));
    });
})();
