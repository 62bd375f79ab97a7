// The helpers that templates have beside those of Handlebars, and the rendering of one message.
"use strict";
(() => {
  const fault = (options, message) => {
    const error = new Error(message);
    error.lineNumber = options.loc?.start.line;
    throw error;
  };
  const block = (name, least, most, test) =>
    function (...given) {
      const options = given.pop();
      if (typeof options.fn !== "function") fault(options, `${name} is a block: {{#${name} …}}…{{/${name}}}`);
      if (given.length < least || given.length > most) fault(options, `${name} takes ${least} arguments`);
      return test(...given) ? options.fn(this) : options.inverse(this);
    };
  // Arrays and objects are not numbers, whatever JavaScript makes of them.
  const numeric = (value) => (typeof value === "object" && value !== null ? NaN : Number(value));
  const helpers = {
    // Loosely, as the language itself compares: a number equals its text.
    equals: block("equals", 2, 2, (a, b) => a == b),
    notEquals: block("notEquals", 2, 2, (a, b) => a != b),
    greaterThan: block("greaterThan", 2, 2, (a, b) => numeric(a) > numeric(b)),
    lessThan: block("lessThan", 2, 2, (a, b) => numeric(a) < numeric(b)),
    and: block("and", 0, Infinity, (...values) => values.length > 0 && values.every(Boolean)),
    or: block("or", 0, Infinity, (...values) => values.some(Boolean)),
    insert(...given) {
      const options = given.pop();
      if (given.length < 2) fault(options, 'insert takes a value and "default=…"');
      const [value, fallback] = given;
      if (value) return value;
      const text = String(fallback);
      const sign = text.indexOf("=");
      if (sign < 0) return text;
      return text.slice(0, sign).trim() === "default" ? text.slice(sign + 1) : "";
    },
    length(...given) {
      const options = given.pop();
      const [value] = given;
      if (value === undefined || value === null) return 0;
      if (!Array.isArray(value)) fault(options, "length takes an array");
      return value.length;
    },
    formatDate(...given) {
      given.pop();
      return formatDate(given[0], given[1], given[2], now);
    },
    // A mere name that is unknown is a missing value; with arguments it can only be meant as a helper.
    helperMissing(...given) {
      const options = given.pop();
      if (given.length > 0) fault(options, `there is no helper "${options.name}"`);
      return undefined;
    },
  };
  for (const [name, helper] of Object.entries(helpers)) Handlebars.registerHelper(name, helper);

  const parts = [];
  let now = 0;
  const filled = (part, context, index) => {
    try {
      return part(context);
    } catch (error) {
      error.part = index;
      throw error;
    }
  };
  globalThis.addPart = (specification) => parts.push(Handlebars.template(specification));
  globalThis.render = (json, nowMs) =>
    attempt(() => {
      now = nowMs;
      const context = JSON.parse(json);
      let length = 0;
      return parts.map((part, index) => {
        const text = filled(part, context, index);
        length += text.length;
        if (length > MAX_OUTPUT) throw new RangeError("too long");
        return text.toWellFormed();
      });
    });
})();
